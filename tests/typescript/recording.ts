// recorder.js returns what the real library takes: Conversation.startSession of @elevenlabs/client.

import { Conversation } from "@elevenlabs/client";

import { attach, resume } from "../../agent_conversations/static/agent_conversations/recorder.js";

const url = "http://127.0.0.1:8000/agent-conversations/api";
const conversationId = "c-1";
const signedUrl = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&token=t";

export const conversation = await Conversation.startSession({
  signedUrl,
  dynamicVariables: { agent_conversation_id: conversationId },
  ...attach({
    url,
    token: "a-long-enough-token",
    conversationId,
    create: { agentId: "a", userId: "u", metadata: { title: "Today" } },
    session: { signedUrl },
    live: "ws://127.0.0.1:8001/agent-conversations/api/ws",
    typed: false,
    callbacks: {
      onMessage: ({ message }: { message: string }) => console.log(message),
      onVadScore: ({ vadScore }: { vadScore: number }) => console.log(vadScore),
    },
  }),
});

// Everything but the address may be left out.
const callbacks = attach({ url });
callbacks.onConnect({ conversationId });
resume({ url });

// @ts-expect-error the address of the API is needed
attach({ conversationId });
