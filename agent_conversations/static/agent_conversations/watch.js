// The page of a conversation: what was said, as it is said, and a form to say something.

import { follow } from "./live.js";
import { element, isoTime, send, showState } from "./page.js";

const SHOWN_AT_FIRST = 100;
const ROLES = { user: "User", assistant: "Agent", system: "System", tool: "Tool" };
const STATES = {
  connecting: "Connecting …",
  live: "Live",
  missing: "There is no such conversation yet. It appears here when it comes to be.",
  unavailable: "Redis cannot be read at the moment. What is shown may be old; it goes on by itself.",
  broken: "Connection lost. What is shown may be old.",
  deleted: "This conversation was deleted.",
};

const { id, live } = document.querySelector("#conversation").dataset;
const { ticket } = document.body.dataset;
const [facts, older, log, list, empty, newest, form, problem] = [
  "#facts", "#older", "#log", "#messages", "#empty", "#newest", "#say", "#problem",
].map((selector) => document.querySelector(selector));

/** The messages of which there are elements: those from `first` on. */
let shown = [];
let first = 0;

follow({ url: live, conversationId: id, token: ticket || undefined, onConversation: show, onState });

function onState(state, { error, retryMs }) {
  const words = state === "unavailable" && error ? `${STATES[state]} (${error})` : STATES[state];
  showState(state, retryMs ? `${words} Trying again in ${Math.ceil(retryMs / 1000)} s.` : words);
  form.hidden = state === "deleted";
}

// --- What was said -----------------------------------------------------------------------------

function show(conversation) {
  const { messages } = conversation;
  const atEnd = isAtEnd();
  const isFirst = log.getAttribute("aria-busy") === "true";
  if (messages.length < shown.length) { // another one, under the same id
    list.replaceChildren();
    shown = [];
  }
  if (!shown.length) first = Math.max(0, messages.length - SHOWN_AT_FIRST);
  for (let index = first; index < messages.length; index++) {
    if (index >= shown.length) list.append(item(messages[index]));
    else if (JSON.stringify(messages[index]) !== JSON.stringify(shown[index])) {
      replace(list.children[index - first], messages[index]);
    }
  }
  const grew = messages.length > shown.length;
  shown = messages;
  showFacts(conversation);
  showRest();
  log.setAttribute("aria-busy", "false"); // what is there at first is not read out
  if (isFirst || atEnd) scrollToEnd();
  else if (grew) newest.hidden = false;
}

function showFacts({ agentId, userId, createdAt, messageCount, metadata }) {
  const rows = [
    ["Messages", messageCount],
    ["Agent", agentId],
    ["User", userId],
    ["Created", isoTime(createdAt)],
    ["Metadata", metadata && Object.keys(metadata).length ? JSON.stringify(metadata) : undefined],
  ];
  facts.replaceChildren(
    ...rows
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

function showRest() {
  empty.hidden = shown.length > 0;
  older.hidden = first === 0;
  const count = Math.min(first, SHOWN_AT_FIRST);
  older.textContent = first === 1 ? "Show 1 older message" : `Show ${count} older messages (of ${first})`;
}

older.addEventListener("click", () => {
  const end = first;
  const height = document.documentElement.scrollHeight;
  first = Math.max(0, first - SHOWN_AT_FIRST);
  log.setAttribute("aria-busy", "true");
  list.prepend(...shown.slice(first, end).map(item));
  log.setAttribute("aria-busy", "false");
  showRest();
  scrollBy(0, document.documentElement.scrollHeight - height); // what was read stays where it was
});

function item(message) {
  const { role, content, originalContent, interrupted, timeInCallSecs, toolName, status } = message;
  const head = element(
    "p",
    { className: "head" },
    element("b", {}, ROLES[role] ?? role),
    toolName && element("code", {}, toolName),
    status && element("span", { className: `status ${status}` }, status),
    isoTime(message.timestamp),
    timeInCallSecs !== undefined && element("span", {}, `${timeInCallSecs} s into the call`),
    role !== "tool" && message.source && element("span", {}, message.source),
  );
  const said = element("p", { className: "content" }, content);
  if (interrupted) said.append(element("span", { className: "mark" }, " (interrupted)"));
  return element(
    "li",
    { className: `message ${role}` },
    head,
    (content || interrupted) && said,
    originalContent !== undefined &&
      element("p", { className: "original" }, "Generated: ", element("del", {}, originalContent)),
    part("Arguments", message.toolArgs && JSON.stringify(message.toolArgs, null, 2)),
    part("Result", message.toolOutput),
  );
}

function part(title, text) {
  return text && element("details", {}, element("summary", {}, title), element("pre", {}, text));
}

/** Puts a message in the place of its former words, with what was unfolded left unfolded. */
function replace(old, message) {
  const next = item(message);
  const open = [...old.querySelectorAll("details[open] summary")].map((one) => one.textContent);
  for (const details of next.querySelectorAll("details")) {
    details.open = open.includes(details.firstChild.textContent);
  }
  next.querySelector(".head").append(element("span", { className: "mark" }, "changed"));
  next.classList.add("changed");
  old.replaceWith(next);
}

// --- Where the page is -------------------------------------------------------------------------

function isAtEnd() {
  const { scrollHeight, clientHeight } = document.documentElement;
  return scrollY + clientHeight > scrollHeight - 80;
}

function scrollToEnd() {
  scrollTo(0, document.documentElement.scrollHeight);
}

newest.addEventListener("click", scrollToEnd);
addEventListener("scroll", () => {
  if (isAtEnd()) newest.hidden = true;
});

// --- The form ----------------------------------------------------------------------------------

/** The words that were sent last, and their id: sent again after a lost response, they count once. */
let sent = { words: "", messageId: "" };

form.content.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = { role: form.role.value, content: form.content.value, source: "text" };
  const words = JSON.stringify(message);
  if (words !== sent.words) sent = { words, messageId: `watch-${randomHex()}` };
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await send("POST", `/${encodeURIComponent(id)}/message`, { ...message, messageId: sent.messageId });
    sent = { words: "", messageId: "" };
    problem.textContent = "";
    form.content.value = "";
    scrollToEnd();
  } catch (error) {
    problem.textContent = `${error.message} What you typed is still here.`;
  }
  button.disabled = false;
  form.content.focus();
});

function randomHex() { // crypto.randomUUID is for HTTPS and localhost only
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
