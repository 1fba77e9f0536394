// The application of a played call: what it hears of the call it shows, as any frontend would.

const settings = await (await fetch("/settings.json")).json();
const { attach } = await import(`${settings.service}/static/agent_conversations/recorder.js`);

const [start, form, log, state, watch] = ["#start", "#speak", "#log", "#state", "#watch"].map((one) =>
  document.querySelector(one),
);
const inCall = document.querySelectorAll("#cut-in, #tool, #end, #speak input, #speak button");
let conversationId = "";
let conversation;

function show(who, words) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = who;
  item.append(name, words);
  log.append(item);
}

function setInCall(is) {
  start.disabled = is;
  for (const one of inCall) one.disabled = !is;
}

async function ask(action, more = {}) {
  const body = JSON.stringify({ conversationId, ...more });
  const response = await fetch(`/${action}`, { method: "POST", body });
  const { sentence } = await response.json();
  if (sentence) state.textContent = sentence;
}

start.addEventListener("click", async () => {
  start.disabled = true;
  log.replaceChildren();
  conversationId = `played-${Date.now()}`;
  const { api: url, live, token, signedUrl, service } = settings;
  conversation = await ElevenLabsClient.Conversation.startSession({
    signedUrl,
    textOnly: true,
    dynamicVariables: { agent_conversation_id: conversationId },
    ...attach({
      url,
      live,
      token: token || undefined,
      conversationId,
      create: { metadata: { title: "A played call" } },
      session: { signedUrl },
      callbacks: {
        onMessage: ({ message, role, source }) => show(role ?? source, message),
        onAgentResponseCorrection: ({ corrected_agent_response: heard }) => show("heard", heard),
        onAgentToolRequest: ({ tool_name: tool }) => show("tool", `${tool} …`),
        onAgentToolResponse: ({ tool_name: tool }) => show("tool", `${tool} is done`),
        onDisconnect: () => {
          setInCall(false);
          state.textContent ||= "The call is over.";
        },
      },
    }),
  });
  watch.href = `${service}/watch/${conversationId}`;
  watch.hidden = false;
  state.textContent = "In a call.";
  setInCall(true);
});

for (const action of ["cut-in", "tool", "end"]) {
  document.querySelector(`#${action}`).addEventListener("click", () => ask(action));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = form.text.value;
  form.text.value = "";
  const how = event.submitter?.value ?? "speak";
  if (how === "type") {
    show("user", text);
    conversation.sendUserMessage(text);
  } else {
    await ask(how, { text });
  }
});
