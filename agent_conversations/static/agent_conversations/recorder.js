/**
 * Records a call of `@elevenlabs/client`, and relays pushes to it: an ES module without dependencies but
 * `live.js` beside it, for any frontend.
 *
 *     import { attach } from "http://127.0.0.1:8000/static/agent_conversations/recorder.js";
 *
 *     const conversation = await Conversation.startSession({
 *       signedUrl,
 *       dynamicVariables: { agent_conversation_id: conversationId },
 *       ...attach({
 *         url: "http://127.0.0.1:8000/agent-conversations/api",
 *         conversationId,
 *         create: { agentId },
 *         session: { signedUrl },
 *         live: "ws://127.0.0.1:8001/agent-conversations/api/ws",
 *         callbacks: { onMessage: ({ message }) => show(message) },
 *       }),
 *     });
 *
 * Each turn is written in the background, in order, under an id of its own, so that it counts once
 * however often it is sent. What the service has not acknowledged is sent again with growing pauses,
 * and stands in localStorage meanwhile: the next page of this origin that calls `attach` or `resume`
 * sends what a closed one has left. Nothing that is a credential is kept there.
 */

import { follow } from "./live.js";

/**
 * @typedef {object} Service
 * @property {string} url  of the REST API, such as `https://…/agent-conversations/api`
 * @property {string} [token]  one of the server's API tokens, where it has any
 *
 * @typedef {object} Recording
 * @property {string} [conversationId]  ours; without it, the id that ElevenLabs gives the call
 * @property {boolean | { agentId?: string, userId?: string, metadata?: object }} [create]
 *   whether to create the conversation, and with what; else it is there, or somebody else creates it
 * @property {object} [session]  what to register for as long as the call lasts: an object with the
 *   push-capable URL as it was given, such as `{ signedUrl }`. `sessionId` is the call's id.
 * @property {string} [live]  address of the live socket: pushes to the session that come over it are
 *   handed to the call, and recorded
 * @property {boolean} [typed]  whether to record what goes out as a text (`sendUserMessage`); true
 *   unless said otherwise
 * @property {Callbacks} [callbacks]  the application's own; each is called after the recorder's
 *
 * @typedef {Service & Recording} Options
 *
 * @typedef {object} Call  the library's conversation object
 * @property {() => string} getId
 * @property {() => boolean} isOpen
 * @property {(text: string) => void} sendUserMessage
 * @property {(text: string, options?: { contextId?: string }) => void} sendContextualUpdate
 *
 * @typedef {object} Callbacks  those of `@elevenlabs/client` that the recorder needs; others pass
 * @property {(conversation: any) => void} [onConversationCreated]
 * @property {(props: { conversationId: string }) => void} [onConnect]
 * @property {(props: any) => void} [onMessage]
 * @property {(props: any) => void} [onAgentResponseCorrection]
 * @property {(props: any) => void} [onInterruption]
 * @property {(props: any) => void} [onAgentToolRequest]
 * @property {(props: any) => void} [onAgentToolResponse]
 * @property {(event: any) => void} [onIncomingEvent]
 * @property {(event: any) => void} [onOutgoingEvent]
 * @property {(details: any) => void} [onDisconnect]
 *
 * @typedef {{ role: string, content: string, messageId: string, [field: string]: any }} Message
 *
 * @typedef {{ create: object } | { add: Message } | { put: Message }} Write
 */

const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** After so many failures one after another, the console has a word. */
const SAID_AFTER = 3;

/** A request that has had no response for this long is repeated. */
const RESPONSE_MS = 10_000;

/** A session lives ten minutes. */
const RENEW_MS = 4 * 60_000;

/** What stands in localStorage for longer is not sent any more. */
const KEPT_MS = 24 * 3_600_000;

/** A page that was closed has given its locks back by then. */
const CLOSING_MS = 5_000;

/** Of what was not acknowledged, so much is kept: a browser gives an origin 5 MiB. */
const MAX_CHARACTERS = 1_000_000;

/** So much goes into one request, which may have 100 messages and 1 MiB. */
const MAX_BATCH = 100;
const MAX_BATCH_CHARACTERS = 200_000;

/** So much of a request may outlive its page; the browser refuses more. */
const MAX_OUTLIVING_BYTES = 60_000;

/** So much of a pushId is part of its message's id. */
const MAX_PUSH_ID_CHARACTERS = 128;

/** The service takes 16 KiB of arguments. */
const MAX_ARGUMENTS_BYTES = 16 * 1024;

const STORAGE_PREFIX = "agent_conversations.recorder:";

/**
 * Returns the callbacks for `Conversation.startSession`, those of the application included, or for the hook of `@elevenlabs/react`.
 *
 * The application's own callbacks are called after the recorder's, and what they throw goes where it
 * went without it. The same callbacks may be used for one call after another.
 *
 * @template {Callbacks} [Own={}]
 * @param {Options & { callbacks?: Own }} options
 * @returns {Own & Required<Callbacks>}
 */
export function attach(options) {
  const { callbacks = {}, typed = true } = options;
  resume(options);
  /** @type {CallRecord | undefined} */
  let call;

  /**
   * @param {string} id
   * @param {Call} [connection]
   */
  function begin(id, connection) {
    if (call?.id === id) return;
    call?.end();
    call = new CallRecord(options, id, connection);
  }

  /** @type {Required<Callbacks>} */
  const own = {
    onConversationCreated: (conversation) => begin(conversation.getId(), conversation),
    onConnect: ({ conversationId }) => begin(conversationId),
    onMessage: (turn) => call?.turn(turn),
    onInterruption: (event) => call?.interrupted(event),
    onAgentResponseCorrection: (event) => call?.corrected(event),
    onAgentToolRequest: ({ tool_call_id, tool_name }) =>
      call?.tool(tool_call_id, { toolName: tool_name }),
    onAgentToolResponse: (event) => call?.toolResponse(event),
    onIncomingEvent: (event) => {
      if (event.type === "client_tool_call") call?.clientToolCall(event.client_tool_call);
    },
    onOutgoingEvent: (event) => {
      if (event.type === "client_tool_result") call?.clientToolResult(event);
      else if (typed && !isRelaying) call?.typed(event);
    },
    onDisconnect: () => call?.end(),
  };
  /** @type {any} */
  const all = { ...callbacks };
  for (const [name, record] of Object.entries(own)) {
    const application = all[name];
    all[name] = (/** @type {any[]} */ ...values) => {
      try {
        /** @type {any} */ (record)(...values);
      } catch (error) {
        console.error("recorder.js: an event of the call was not recorded.", error);
      }
      return application?.(...values);
    };
  }
  return all;
}

/**
 * Sends what closed pages of this origin have left for this service, and what no other page is sending.
 *
 * `attach` does so too: call it where a page may be opened that makes no call.
 *
 * @param {Service} service
 */
export function resume(service) {
  for (const key of storedKeys()) {
    const saved = read(key);
    if (saved?.url !== service.url || outboxes.some((outbox) => outbox.key === key)) continue;
    if (Date.now() - saved.at > KEPT_MS) {
      forget(key);
      drop(saved.writes, "they were not sent within a day");
    } else {
      new Outbox(service, saved.conversationId, key).adopt();
    }
  }
}

// --- What is said in a call --------------------------------------------------------------------

/** What goes out now is no typed text, but one that was pushed; all recorders of this page know it. */
let isRelaying = false;

class CallRecord {
  /**
   * @param {Options} options
   * @param {string} id  ElevenLabs' id of the call
   * @param {Call} [connection]  of which older versions of the library tell nothing
   */
  constructor(options, id, connection) {
    this.id = id;
    this.connection = connection;
    const conversationId = options.conversationId ?? id;
    this.outbox = new Outbox(options, conversationId);
    /** @type {Map<string, string[]>} what was said under an event's id, by each role */
    this.said = new Map();
    /** @type {Map<unknown, Message>} the agent's turns, by the event's id */
    this.agentTurns = new Map();
    /** @type {Map<string, Message>} */
    this.toolCalls = new Map();
    this.unnumbered = 0;
    if (options.create) {
      const fields = options.create === true ? {} : options.create;
      this.outbox.push({ create: { ...fields, conversationId } });
    }
    const { session, live, token } = options;
    this.session = session && new Session(options, conversationId, { ...session, sessionId: id });
    this.following = live
      ? follow({
          url: live,
          conversationId,
          ...(token && { token }),
          sessionId: id,
          onPush: (push) => this.relay(push),
        })
      : undefined;
    this.end = this.end.bind(this);
    globalThis.addEventListener?.("pagehide", this.end);
  }

  end() {
    globalThis.removeEventListener?.("pagehide", this.end);
    this.session?.end();
    this.following?.stop();
  }

  /**
   * Hands a push to the call; throws where that cannot be. Whether the agent heard it, nobody can say.
   *
   * @param {import("./live.js").Push} push
   */
  relay({ pushId, kind, text, contextId }) {
    const { connection } = this;
    if (!connection) throw new Error("this version of @elevenlabs/client does not hand out its conversation");
    if (!connection.isOpen()) throw new Error("the call has ended"); // a closed socket would say nothing
    const isSaid = kind === "user_message";
    if (!isSaid && kind !== "contextual_update") throw new Error(`this page knows no ${kind}`);
    isRelaying = true;
    try {
      if (isSaid) connection.sendUserMessage(text);
      else connection.sendContextualUpdate(text, contextId ? { contextId } : {});
    } finally {
      isRelaying = false;
    }
    const role = isSaid ? "user" : "system";
    // A message's id has 256 characters at most, as has a pushId alone.
    const name = `push-${pushId.slice(0, MAX_PUSH_ID_CHARACTERS)}:${role}`;
    this.add(name, { role, content: text, source: "system_event" });
  }

  /**
   * Under one event's id there is one turn of each role; were there another, it has an id of its own.
   *
   * @param {any} turn  `role`, or `source` (`user`, `ai`) in older versions of the library
   */
  turn({ message: content, event_id, role, source }) {
    const isUser = (role ?? source) === "user";
    if (isUser && !content) return; // nothing was recognised
    const speaker = isUser ? "user" : "agent";
    const event = this.numbered(event_id);
    const said = this.said.get(event + speaker) ?? [];
    this.said.set(event + speaker, said);
    if (!said.includes(content)) said.push(content);
    const place = said.indexOf(content);
    const message = this.add(`${event}${place ? `-${place + 1}` : ""}:${speaker}`, {
      role: isUser ? "user" : "assistant",
      content,
      source: isUser ? "voice" : "agent_response",
    });
    if (!isUser) this.agentTurns.set(event_id, message);
  }

  /** @param {any} event  a text that goes out, alone or with files */
  typed({ type, text }) {
    const content = type === "multimodal_message" ? text?.text : text;
    if ((type !== "user_message" && type !== "multimodal_message") || !content) return;
    this.add(`${this.numbered()}:user`, { role: "user", content, source: "text" });
  }

  /** @param {any} event  its `event_id` is not below that of the turn that was cut off */
  interrupted({ event_id }) {
    const [key, turn] = [...this.agentTurns].at(-1) ?? [];
    if (turn && !turn.interrupted && !(Number(key) > event_id)) this.change(turn, { interrupted: true });
  }

  /** @param {any} event */
  corrected({ event_id, original_agent_response, corrected_agent_response }) {
    const numbered = this.agentTurns.get(event_id);
    const newestFirst = [numbered, ...[...this.agentTurns.values()].reverse()];
    const turn =
      newestFirst.find((one) => one?.content === original_agent_response) ??
      numbered ??
      this.message(`${this.numbered(event_id)}:agent`, { role: "assistant", source: "agent_response" });
    this.agentTurns.set(event_id, turn);
    const originalContent = original_agent_response;
    this.change(turn, { content: corrected_agent_response, originalContent, interrupted: true });
  }

  /** @param {any} event  `parameters` is what the agent calls the application's function with */
  clientToolCall({ tool_call_id, tool_name, parameters }) {
    const toolArgs = parameters ?? {};
    const size = new TextEncoder().encode(JSON.stringify(toolArgs)).length;
    if (size > MAX_ARGUMENTS_BYTES) {
      console.warn(`recorder.js: the arguments of ${tool_name} are left out: ${size} bytes.`);
    }
    const fits = size <= MAX_ARGUMENTS_BYTES;
    this.tool(tool_call_id, { toolName: tool_name, ...(fits && { toolArgs }) });
  }

  /** @param {any} event */
  clientToolResult({ tool_call_id, result, is_error }) {
    this.tool(tool_call_id, { toolOutput: result, status: is_error ? "failed" : "completed" });
  }

  /** @param {any} event  with `full_tool_result` where the agent is set up to send it */
  toolResponse({ tool_call_id, tool_name, is_error, is_blocked, full_tool_result: toolOutput }) {
    const status = is_error || is_blocked ? "failed" : "completed";
    this.tool(tool_call_id, { toolName: tool_name, status, ...(toolOutput && { toolOutput }) });
  }

  /**
   * Writes a call of a tool, or what is new about it: one message, whatever comes first.
   *
   * @param {string} callId
   * @param {object} fields
   */
  tool(callId, fields) {
    const known = this.toolCalls.get(callId);
    if (known) return this.change(known, fields);
    const call = { role: "tool", content: "", source: "tool_output", status: "pending" };
    this.toolCalls.set(callId, this.add(`${callId}:tool`, { ...call, toolCallId: callId, ...fields }));
  }

  /**
   * @param {number} [eventId]
   * @returns {string} the event's number; without one, a place among those that have none
   */
  numbered(eventId) {
    return eventId === undefined ? `n${++this.unnumbered}` : String(eventId);
  }

  /**
   * @param {string} name
   * @param {any} fields
   * @returns {Message}
   */
  message(name, fields) {
    const timestamp = new Date().toISOString(); // when it was said, however late it is written
    return { messageId: `${this.id}:${name}`, timestamp, ...fields };
  }

  /**
   * @param {string} name
   * @param {object} fields
   */
  add(name, fields) {
    const message = this.message(name, fields);
    this.outbox.push({ add: { ...message } });
    return message;
  }

  /**
   * @param {Message} message
   * @param {object} fields
   */
  change(message, fields) {
    const before = JSON.stringify(message);
    Object.assign(message, fields);
    if (JSON.stringify(message) !== before) this.outbox.push({ put: { ...message } });
  }
}

/** Registers a session, renews it, and deletes it at the end, unless another one has replaced it. */
class Session {
  /**
   * @param {Service} service
   * @param {string} conversationId
   * @param {{ sessionId: string }} body
   */
  constructor(service, conversationId, body) {
    this.service = service;
    this.path = `/${encodeURIComponent(conversationId)}/session`;
    this.body = body;
    this.ended = false;
    this.wake = () => {};
    this.hold();
  }

  end() {
    this.ended = true;
    this.wake();
  }

  async hold() {
    let failures = 0;
    for (let isNew = true; !this.ended; ) {
      if (!isNew && (await this.isReplaced())) return;
      const { done, refused, retryMs } = await request(this.service, "POST", this.path, this.body);
      if (refused) {
        console.warn(`recorder.js: the session was not registered: ${refused}`);
        return;
      }
      isNew &&= !done;
      failures = done ? 0 : failures + 1;
      const pause = done ? RENEW_MS : Math.max(pauseMs(failures), retryMs);
      if (!this.ended) await new Promise((resolve) => (this.wake = wakeable(resolve, pause)));
    }
    const query = new URLSearchParams({ sessionId: this.body.sessionId });
    await request(this.service, "DELETE", `${this.path}?${query}`);
  }

  /** A tab that took over holds the session now: to register this one again would take it away. */
  async isReplaced() {
    const { body } = await request(this.service, "GET", this.path);
    return body?.sessionId !== undefined && body.sessionId !== this.body.sessionId;
  }
}

// --- What is still to be written ---------------------------------------------------------------

/** @type {Outbox[]}  of this page, those that are not empty; in the order in which they began */
let outboxes = [];

/** Writes what it is given, in order and one after another; it is in localStorage until acknowledged. */
class Outbox {
  /**
   * @param {Service} service
   * @param {string} conversationId
   * @param {string} [key]  in localStorage
   */
  constructor(service, conversationId, key = `${STORAGE_PREFIX}${conversationId}:${randomHex()}`) {
    this.service = service;
    this.conversationId = conversationId;
    this.key = key;
    /** @type {Write[]} */
    this.writes = [];
    this.isKnown = false;
    this.wake = () => {};
    /** @type {Promise<void> | undefined} until it is empty */
    this.sending = undefined;
  }

  /** @param {Write} write */
  push(write) {
    this.writes.push(write);
    this.bound();
    this.save();
    this.begin(false);
  }

  /** Takes over what stands under its key, unless a page that lives is sending it. */
  adopt() {
    this.begin(true);
  }

  /** @param {boolean} isAdopted */
  begin(isAdopted) {
    if (this.sending) return;
    const { url } = this.service;
    const before = outboxes.filter(
      (one) => one.conversationId === this.conversationId && one.service.url === url,
    );
    outboxes = [...outboxes, this];
    const send = async () => {
      // The turns of an earlier call in this conversation come first.
      await Promise.all(before.map((one) => one.sending));
      if (isAdopted) this.writes = read(this.key)?.writes ?? [];
      await this.sendAll();
    };
    this.sending = locked(this.key, isAdopted, send).finally(() => {
      outboxes = outboxes.filter((one) => one !== this);
      this.sending = undefined;
      if (this.writes.length) this.begin(false);
    });
  }

  async sendAll() {
    const online = () => this.wake();
    globalThis.addEventListener?.("online", online);
    let failures = 0;
    let atOnce = MAX_BATCH;
    while (this.writes.length) {
      const batch = this.batch(atOnce);
      const { done, refused, error, retryMs } = await this.send(batch);
      if (done || (refused && batch.length === 1)) {
        if (refused) drop(batch, refused);
        this.writes = this.writes.filter((write) => !batch.includes(write)); // push() may have dropped some
        this.save();
        failures = 0;
        atOnce = Math.min(MAX_BATCH, atOnce * 2);
      } else if (refused) {
        atOnce = 1; // one of them is at fault, and all or none are written
      } else {
        failures++;
        if (failures === SAID_AFTER) console.warn(`recorder.js: not written yet, and kept: ${error}`);
        const pause = Math.max(pauseMs(failures), retryMs);
        await new Promise((resolve) => (this.wake = wakeable(resolve, pause)));
      }
    }
    globalThis.removeEventListener?.("online", online);
  }

  /**
   * Returns the first write, and with a message that is new all that follow.
   *
   * @param {number} atOnce
   */
  batch(atOnce) {
    let characters = 0;
    const end = this.writes.findIndex((write, index) => {
      characters += JSON.stringify(write).length;
      return index > 0 && (!("add" in write) || index === atOnce || characters > MAX_BATCH_CHARACTERS);
    });
    const [first] = this.writes;
    const count = first && "add" in first ? end : 1;
    return this.writes.slice(0, count === -1 ? undefined : count);
  }

  /**
   * @param {Write[]} batch
   * @returns {Promise<Outcome>}
   */
  async send(batch) {
    const [first] = batch;
    const path = `/${encodeURIComponent(this.conversationId)}/messages`;
    if (first && "create" in first) {
      const outcome = await request(this.service, "POST", "/new", first.create);
      // Somebody else has created it, with other content perhaps: it is there.
      return outcome.code === "conversation_exists" ? { done: true, retryMs: 0 } : outcome;
    }
    const outcome =
      first && "put" in first
        ? await request(this.service, "PUT", `${path}/${encodeURIComponent(first.put.messageId)}`, first.put)
        : await request(this.service, "POST", path, {
            messages: batch.map((write) => "add" in write && write.add),
          });
    if (outcome.done) this.isKnown = true;
    if (outcome.code === "conversation_not_found" && this.isKnown) {
      return { ...outcome, refused: "the conversation was deleted" };
    }
    return outcome;
  }

  /** Drops the oldest where there is too much. */
  bound() {
    const sizes = this.writes.map((write) => JSON.stringify(write).length);
    let characters = sizes.reduce((sum, size) => sum + size, 0);
    let excess = 0;
    while (characters > MAX_CHARACTERS && excess < sizes.length - 1) characters -= sizes[excess++] ?? 0;
    if (excess) drop(this.writes.splice(0, excess), "the service was away for too long");
  }

  save() {
    if (!this.writes.length) return forget(this.key);
    const { conversationId, writes } = this;
    const saved = { url: this.service.url, conversationId, at: Date.now(), writes };
    try {
      localStorage.setItem(this.key, JSON.stringify(saved));
    } catch (error) {
      warnOnce("recorder.js: what is not written yet is lost on a reload:", error);
    }
  }
}

/**
 * Runs a task while no other page has the lock; without locks (no secure context), at once.
 *
 * @param {string} name
 * @param {boolean} isOthers  whether another page may have it: where that page lives, nothing is done
 * @param {() => Promise<void>} task
 * @returns {Promise<void>}
 */
async function locked(name, isOthers, task) {
  if (!globalThis.navigator?.locks) return task();
  const options = isOthers ? { signal: AbortSignal.timeout(CLOSING_MS) } : {};
  await navigator.locks.request(name, options, task).catch((error) => {
    if (error.name !== "TimeoutError") throw error;
  });
}

/** @returns {string[]} */
function storedKeys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(STORAGE_PREFIX));
  } catch {
    return []; // the browser lets this page store nothing
  }
}

/**
 * @param {string} key
 * @returns {{ url: string, conversationId: string, at: number, writes: Write[] } | undefined}
 */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined;
  } catch {
    return undefined; // of another program
  }
}

/** @param {string} key */
function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    // nor was anything stored
  }
}

/**
 * Says that something is not recorded, and why; not what was said.
 *
 * @param {Write[]} writes
 * @param {string} why
 */
function drop(writes, why) {
  const ids = writes.map((write) => ("add" in write ? write.add : "put" in write ? write.put : write));
  const named = ids.map((one) => ("messageId" in one ? one.messageId : "the conversation"));
  console.warn(`recorder.js: not recorded, because ${why}: ${named.slice(0, 10).join(", ")}`, named.length);
}

let hasWarned = false;

/** @param {any[]} words */
function warnOnce(...words) {
  if (!hasWarned) console.warn(...words);
  hasWarned = true;
}

// --- Requests ----------------------------------------------------------------------------------

/**
 * @typedef {{ done?: boolean, refused?: string, code?: string, error?: string, retryMs: number, body?: any }}
 *   Outcome
 *   `refused`: the service's sentence, where the same request can never succeed; else it may later,
 *   not before `retryMs`
 */

/** What may succeed later, though the request stays as it is: another token, a conversation that comes. */
const TEMPORARY = [401, 403, 404, 408, 425, 429];

/**
 * @param {Service} service
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Outcome>}
 */
async function request({ url, token }, method, path, body) {
  /** @type {Record<string, string>} */
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const content = body && new TextEncoder().encode(JSON.stringify(body));
  try {
    const response = await fetch(url + path, {
      method,
      headers,
      signal: AbortSignal.timeout(RESPONSE_MS),
      keepalive: (content?.length ?? 0) < MAX_OUTLIVING_BYTES,
      ...(content && { body: content }),
    });
    const { status } = response;
    if (status === 204) return { done: true, retryMs: 0 };
    if (response.ok) return { done: true, retryMs: 0, body: await response.json() };
    const { code, error = `status ${status}` } = await response.json().catch(() => ({}));
    const isFinal = status < 500 && !TEMPORARY.includes(status);
    const retryMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
    return { code, error, retryMs, ...(isFinal && { refused: error }) };
  } catch (error) { // no response, or a success that is no JSON, and so none of the service's
    return { error: String(error), retryMs: 0 };
  }
}

/** @param {number} failures */
function pauseMs(failures) {
  const pause = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** (failures - 1));
  return pause * (0.5 + Math.random() / 2); // not all pages at once
}

/**
 * Returns a function that calls `resolve` at once, as it is called after a time.
 *
 * @param {(value?: any) => void} resolve
 * @param {number} ms
 */
function wakeable(resolve, ms) {
  const timer = setTimeout(resolve, ms);
  return () => {
    clearTimeout(timer);
    resolve();
  };
}

function randomHex() { // crypto.randomUUID is for secure contexts only
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
