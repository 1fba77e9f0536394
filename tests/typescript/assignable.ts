// Compiles only if the types made from openapi.yaml are the contract's, in both directions.

import type { Answers, Frames, Types } from "./contract.js";
import type { components, operations } from "./schema.js";

type Agrees<Promised, Described> = [Promised] extends [Described]
  ? [Described] extends [Promised]
    ? Identical<Promised, Described> extends true
      ? "agrees"
      : "an optional field is in only one of the two"
    : "what the schema describes is not what the contract promises"
  : "what the contract promises is not what the schema describes";

// Assignability overlooks an optional field that one side lacks; identity does not.
type Identical<A, B> =
  (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

type Flat<T> = { [Name in keyof T]: T[Name] };

type Body<Response> = Response extends { content: { "application/json": infer Content } }
  ? Content
  : never;

type Schemas = components["schemas"];

export const components_agree: {
  [Name in keyof Types]: Name extends keyof Schemas
    ? Agrees<Types[Name], Schemas[Name]>
    : "the schema has no component of this name";
} = {
  AgentMessage: "agrees",
  AgentMessageRequest: "agrees",
  AgentConversation: "agrees",
  AgentConversationList: "agrees",
  AgentConversationCreated: "agrees",
  AgentMessageAdded: "agrees",
  AgentMessagesRequest: "agrees",
  AgentMessagesAdded: "agrees",
  AgentMessagePage: "agrees",
  AgentSessionRegistered: "agrees",
  AgentSessionStatus: "agrees",
  AgentPushRequest: "agrees",
  AgentPush: "agrees",
  Error: "agrees",
};

type Failures<Responses> = Exclude<keyof Responses, 200 | 201 | 202 | 204>;

type AnswersAgree<Promised, Responses> = {
  [Status in keyof Promised]: Status extends keyof Responses
    ? Agrees<Promised[Status], Body<Responses[Status]>>
    : "the schema has no such answer";
} & {
  errors: Agrees<Types["Error"], Body<Responses[Failures<Responses>]>>;
};

export const answers_agree: {
  [Id in keyof Answers]: Id extends keyof operations
    ? AnswersAgree<Answers[Id], operations[Id]["responses"]>
    : "the schema has no operation of this id";
} = {
  listAgentConversations: { 200: "agrees", errors: "agrees" },
  createAgentConversation: { 201: "agrees", 200: "agrees", errors: "agrees" },
  getAgentConversation: { 200: "agrees", errors: "agrees" },
  updateAgentConversation: { 200: "agrees", errors: "agrees" },
  deleteAgentConversation: { 204: "agrees", errors: "agrees" },
  addAgentMessage: { 201: "agrees", 200: "agrees", errors: "agrees" },
  addAgentMessages: { 201: "agrees", 200: "agrees", errors: "agrees" },
  getAgentMessage: { 200: "agrees", errors: "agrees" },
  putAgentMessage: { 201: "agrees", 200: "agrees", errors: "agrees" },
  listAgentMessages: { 200: "agrees", errors: "agrees" },
  registerAgentSession: { 201: "agrees", errors: "agrees" },
  getAgentSession: { 200: "agrees", errors: "agrees" },
  deleteAgentSession: { 204: "agrees", errors: "agrees" },
  pushToAgent: { 202: "agrees", 200: "agrees", errors: "agrees" },
  getAgentPush: { 200: "agrees", errors: "agrees" },
};

// The frames of the live socket, as a frontend takes them: each by its type.
type Frame = Schemas["LiveFrame"];

export const frames_agree: {
  [Type in keyof Frames]: Agrees<
    Flat<{ type: Type } & Frames[Type]>,
    Flat<Extract<Frame, { type: Type }>>
  >;
} = {
  "agent_conversation.snapshot": "agrees",
  "agent_conversation.created": "agrees",
  "agent_conversation.updated": "agrees",
  "agent_conversation.deleted": "agrees",
  "agent_conversation.messages_added": "agrees",
  "agent_conversation.message_updated": "agrees",
  "agent_conversation.changed": "agrees",
  "agent_session.push": "agrees",
  error: "agrees",
};

export function count(frame: Frame): number | undefined {
  switch (frame.type) {
    case "agent_conversation.snapshot":
    case "agent_conversation.created":
    case "agent_conversation.updated":
      return frame.conversation.messages.length;
    case "agent_conversation.messages_added":
      return frame.messageCount;
    case "agent_conversation.message_updated":
    case "agent_conversation.changed":
    case "agent_conversation.deleted":
    case "agent_session.push":
      return undefined;
    case "error":
      throw new Error(frame.error);
    default:
      return frame satisfies never; // there is no other
  }
}

// What a frontend registers can be a value of its own interfaces, which have no index signature.
interface FrontendPayload {
  config: { wsUrl: string };
  features: string[];
}

interface FrontendRegistration {
  sessionUrl: string;
  sessionId?: string;
  sessionPayload?: FrontendPayload;
  metadata?: { tab: number };
}

export const registration = (ours: FrontendRegistration): Schemas["AgentSessionRegistration"] => ours;
