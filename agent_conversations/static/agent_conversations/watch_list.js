// The page of the newest conversations. It asks for the list again and again: a page of it costs the
// service the same however many conversations there are, and what comes, goes and moves is in it.

import { element, isoTime, send, showState } from "./page.js";

const EVERY_MS = 2_000;
const SHOWN = 20;

const { watch } = document.body.dataset;
const [list, empty, problem, create] = ["#conversations", "#empty", "#problem", "#new"].map((selector) =>
  document.querySelector(selector),
);

async function refresh() {
  if (document.hidden) return;
  try {
    const { conversations } = await send("GET", `/list?limit=${SHOWN}&messageLimit=1`);
    show(conversations);
    showState("live", "Live");
  } catch (error) {
    showState("broken", `${error.message} What is shown may be old.`);
  }
}

function show(conversations) {
  empty.hidden = conversations.length > 0;
  const before = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const items = conversations.map((conversation) => {
    const { conversationId, messages, messageCount, lastAccessedAt } = conversation;
    const state = JSON.stringify([messageCount, lastAccessedAt, messages]);
    const old = before.get(conversationId);
    if (old?.dataset.of === state) return old;
    const item = row(conversation);
    item.dataset.id = conversationId;
    item.dataset.of = state;
    if (before.size && (!old || old.dataset.count !== item.dataset.count)) item.classList.add("changed");
    return item;
  });
  const focused = document.activeElement?.closest("li")?.dataset.id;
  list.replaceChildren(...items);
  if (focused) items.find((item) => item.dataset.id === focused)?.querySelector("a").focus();
}

function row({ conversationId, agentId, messages, messageCount, lastAccessedAt }) {
  const item = element(
    "li",
    { className: "conversation" },
    element("a", { href: `${watch}/${encodeURIComponent(conversationId)}` }, conversationId),
    element(
      "p",
      { className: "head" },
      element("span", {}, `${messageCount} ${messageCount === 1 ? "message" : "messages"}`),
      agentId && element("span", {}, agentId),
      isoTime(lastAccessedAt),
    ),
    messages.length > 0 && element("p", { className: "words" }, messages.at(-1).content),
  );
  item.dataset.count = messageCount;
  return item;
}

create.addEventListener("click", async () => {
  try {
    const { conversationId } = await send("POST", "/new");
    location.assign(`${watch}/${conversationId}`);
  } catch (error) {
    problem.textContent = error.message;
  }
});

refresh();
setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
