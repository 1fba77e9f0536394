// The types of docs/frontend.md, as a page uses them.

import type { components } from "./schema";
type AgentConversation = components["schemas"]["AgentConversation"];
type Frame = components["schemas"]["LiveFrame"]; // of the live socket: a switch on its `type` narrows it

export function conversationOf(frame: Frame): AgentConversation | undefined {
  switch (frame.type) {
    case "agent_conversation.snapshot":
    case "agent_conversation.created":
    case "agent_conversation.updated":
      return frame.conversation;
    default:
      return undefined;
  }
}
