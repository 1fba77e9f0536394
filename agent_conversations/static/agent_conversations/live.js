/**
 * Follows a conversation: an ES module without dependencies, for any frontend.
 *
 *     import { follow } from "http://127.0.0.1:8000/static/agent_conversations/live.js";
 *
 *     const following = follow({
 *       url: "ws://127.0.0.1:8001/agent-conversations/api/ws",
 *       conversationId,
 *       onConversation: (conversation) => show(conversation),
 *       onState: (state) => label(state),
 *     });
 *     following.stop();
 *
 * Over the socket come only changes (delta mode); what is handed over is the whole conversation, each
 * time a new object, so that a framework sees that it is another one. After a break it comes back with
 * growing pauses and takes what it has missed.
 *
 * A tab that holds a session names it, and takes the texts that are pushed into its running conversation:
 *
 *     follow({ url, conversationId, sessionId, onPush: ({ text }) => call.sendUserMessage(text) });
 */

/**
 * @typedef {{ role: string, content: string, timestamp: string, [field: string]: any }} Message
 *
 * @typedef {{ conversationId: string, messages: Message[], messageCount: number, [field: string]: any }}
 *   Conversation `lastAccessedAt` is that of the last frame with a whole conversation.
 *
 * @typedef {"connecting" | "live" | "missing" | "unavailable" | "broken" | "deleted"} State
 *   `missing`: there is no such conversation yet; `unavailable`: the server cannot read it at the moment;
 *   `broken`: there is no connection, and another is tried. After `deleted` nothing more comes.
 *
 * @typedef {{ pushId: string, kind: "user_message" | "contextual_update", text: string,
 *   contextId?: string | undefined }} Push  given to this tab, and to no other
 *
 * @typedef {object} Options
 * @property {string} url  of the live socket, without a query
 * @property {string} conversationId
 * @property {string} [token]  one of the server's API tokens, where it has any
 * @property {(conversation: Conversation) => void} [onConversation]
 * @property {(state: State, detail: { error?: string, retryMs?: number }) => void} [onState]
 *   `error` is the server's sentence, `retryMs` the pause until the next attempt
 * @property {string} [sessionId]  of the session that this tab has registered
 * @property {(push: Push) => unknown} [onPush]
 *   hands a push to the ElevenLabs client. What it returns, or that its promise resolves, reports the push as
 *   delivered; what it throws, as failed, with the error's message for a reason.
 */

const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** A connection that lasted this long was a good one: the pause after it is the shortest. */
const GOOD_MS = 10_000;

/** How often something is sent: only then does a browser notice that the other end has gone. */
const BEAT_MS = 20_000;

/** How many results are sent again after a break: the last of them may not have arrived. */
const RESULTS_KEPT = 20;

/** Of a reason: with a long pushId, the frame has less than the 4 KiB that the server takes. */
const REASON_CHARACTERS = 400;

/**
 * @param {Options} options
 * @returns {{ stop: () => void }}
 */
export function follow({
  url,
  conversationId,
  token,
  onConversation = () => {},
  onState = () => {},
  sessionId,
  onPush,
}) {
  /** @type {Conversation | undefined} */
  let conversation;
  let revision = "";
  /** @type {WebSocket | undefined} */
  let socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;
  let failures = 0;
  /** @type {string[]} */
  let results = [];

  function connect() {
    clearTimeout(retry);
    const query = new URLSearchParams({ conversationId, mode: "delta" });
    if (conversation) {
      query.set("after", String(conversation.messages.length));
      query.set("revision", revision);
    }
    if (sessionId && onPush) query.set("sessionId", sessionId);
    const opening = new WebSocket(`${url}?${query}`, token ? [`bearer.${token}`] : []);
    const began = Date.now();
    socket = opening;
    // A resuming viewer that has missed nothing is sent nothing.
    opening.onopen = () => {
      if (conversation) onState("live", {});
      for (const result of results) opening.send(result); // the server keeps the first
    };
    opening.onmessage = ({ data }) => take(JSON.parse(data));
    opening.onclose = () => {
      if (socket !== opening) return;
      failures = Date.now() - began > GOOD_MS ? 0 : failures + 1;
      const pause = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** failures);
      const retryMs = Math.round(pause * (0.5 + Math.random() / 2)); // not all viewers at once
      onState("broken", { retryMs });
      retry = setTimeout(connect, retryMs);
    };
  }

  /** @param {any} frame */
  function take(frame) {
    if (frame.type === "error") {
      const missing = frame.code === "conversation_not_found";
      onState(missing ? "missing" : "unavailable", { error: frame.error });
    } else if (frame.type === "agent_session.push") {
      hand(frame);
    } else if (frame.type === "agent_conversation.deleted") {
      stop();
      onState("deleted", {});
    } else {
      const next = changed(conversation, frame);
      if (!next) return; // of a later release
      conversation = next;
      revision = frame.revision;
      onState("live", {});
      onConversation(conversation);
    }
  }

  /** @param {Push} push */
  async function hand({ pushId, kind, text, contextId }) {
    /** @type {{ ok: boolean, reason?: string }} */
    let became = { ok: true };
    try {
      await onPush?.({ pushId, kind, text, contextId });
    } catch (error) {
      const reason = String(error instanceof Error ? error.message : error);
      became = { ok: false, reason: reason.slice(0, REASON_CHARACTERS) };
    }
    const result = JSON.stringify({ type: "agent_session.push_result", pushId, ...became });
    results = [...results, result].slice(-RESULTS_KEPT);
    if (socket?.readyState === WebSocket.OPEN) socket.send(result);
  }

  function reconnect() {
    const before = socket;
    connect();
    before?.close();
  }

  function stop() {
    clearTimeout(retry);
    clearInterval(beat);
    globalThis.removeEventListener?.("online", reconnect);
    const last = socket;
    socket = undefined;
    last?.close();
  }

  let last = Date.now();
  const beat = setInterval(() => {
    const slept = Date.now() - last > 5 * BEAT_MS; // the computer did
    last = Date.now();
    if (slept) reconnect();
    else if (socket?.readyState === WebSocket.OPEN) socket.send("");
  }, BEAT_MS);
  globalThis.addEventListener?.("online", reconnect);
  onState("connecting", {});
  connect();
  return { stop };
}

/**
 * Returns what a frame makes of a conversation; nothing for a frame that is not known.
 *
 * @param {Conversation | undefined} conversation
 * @param {any} frame
 * @returns {Conversation | undefined}
 */
function changed(conversation, frame) {
  switch (frame.type) {
    case "agent_conversation.snapshot":
    case "agent_conversation.created":
    case "agent_conversation.updated":
      return frame.conversation;
  }
  if (!conversation) return undefined;
  switch (frame.type) {
    case "agent_conversation.messages_added":
      return {
        ...conversation,
        messages: [...conversation.messages, ...frame.messages],
        messageCount: frame.messageCount,
      };
    case "agent_conversation.message_updated": {
      const messages = [...conversation.messages];
      messages[frame.index] = frame.message;
      return { ...conversation, messages };
    }
    case "agent_conversation.changed":
      return { ...frame.conversation, messages: conversation.messages };
  }
}
