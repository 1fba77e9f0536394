// What clients are promised, written out by hand. Not generated: it is what the schema has to meet.

export interface AgentMessage {
  role: "user" | "assistant" | "system" | "tool";
  content: string;
  timestamp: string;
  source?: "voice" | "text" | "user_input" | "agent_response" | "tool_output" | "system_event";
  messageId: string;
  toolName?: string;
  toolArgs?: Record<string, unknown>;
  toolOutput?: string;
  status?: "pending" | "completed" | "failed";
  toolCallId?: string;
  interrupted?: boolean;
  originalContent?: string;
  timeInCallSecs?: number;
}

/** In a request, `null` means the same as leaving an optional field out. */
export interface AgentMessageRequest {
  role: AgentMessage["role"] | "agent";
  content: string | null;
  timestamp?: string | null;
  source?: Exclude<AgentMessage["source"], undefined> | null;
  messageId?: string | null;
  toolName?: string | null;
  toolArgs?: Record<string, unknown> | null;
  toolOutput?: string | null;
  status?: Exclude<AgentMessage["status"], undefined> | null;
  toolCallId?: string | null;
  interrupted?: boolean | null;
  originalContent?: string | null;
  timeInCallSecs?: number | null;
}

export interface AgentMessagesRequest {
  messages: AgentMessageRequest[];
}

export interface AgentConversation {
  conversationId: string;
  messages: AgentMessage[];
  messageCount: number;
  createdAt: string;
  lastAccessedAt: string;
  agentId?: string;
  userId?: string;
  metadata?: Record<string, unknown>;
}

export interface AgentConversationList {
  conversations: AgentConversation[];
  pagination: { total: number; limit: number; offset: number; hasMore: boolean; next?: string };
}

export interface AgentConversationCreated {
  success: true;
  conversationId: string;
  message: string;
  conversation: AgentConversation;
}

export interface AgentMessageAdded {
  success: true;
  conversationId: string;
  message: string;
  messageId: string;
  messageCount: number;
}

export interface AgentMessagesAdded {
  success: true;
  conversationId: string;
  message: string;
  messageCount: number;
  messages: { messageId: string; replayed: boolean }[];
}

export interface AgentMessagePage {
  messages: AgentMessage[];
  pagination: { total: number; limit: number; hasMore: boolean; next?: string };
}

export interface AgentSessionRegistered {
  success: true;
  message: string;
  conversationId: string;
  sessionId?: string;
  createdAt: string;
  ttl: number;
}

export interface AgentSessionStatus {
  conversationId: string;
  sessionId?: string;
  transport?: "webrtc" | "websocket";
  createdAt: string;
  ttl: number;
  expiresInSeconds: number;
}

export interface AgentPushRequest {
  text: string;
  kind?: "user_message" | "contextual_update" | null;
  contextId?: string | null;
  pushId?: string | null;
  expiresInSeconds?: number | null;
}

export interface AgentPush {
  conversationId: string;
  pushId: string;
  state: "queued" | "sent" | "delivered" | "failed" | "expired" | "unknown";
  createdAt: string;
  expiresAt: string;
  reason?: string;
}

export interface Error {
  success: false;
  error: string;
  code:
    | "conversation_exists"
    | "conversation_full"
    | "conversation_not_found"
    | "corrupt_record"
    | "feature_disabled"
    | "internal_error"
    | "invalid_request"
    | "invalid_signature"
    | "message_conflict"
    | "message_not_found"
    | "method_not_allowed"
    | "not_acceptable"
    | "not_authenticated"
    | "not_found"
    | "origin_not_allowed"
    | "permission_denied"
    | "precondition_failed"
    | "push_conflict"
    | "push_not_found"
    | "rate_limited"
    | "request_too_large"
    | "session_not_found"
    | "store_unavailable"
    | "unsupported_media_type"
    | "upgrade_required";
  /** Only with `invalid_request`. */
  details?: Record<string, string[]>;
  /** Only with `feature_disabled`, as is `message`. */
  enabled?: false;
  message?: string;
  /** Only of health. */
  advice?: Record<string, string>;
}

/** By name, as the schema's components have to be called. */
export interface Types {
  AgentMessage: AgentMessage;
  AgentMessageRequest: AgentMessageRequest;
  AgentConversation: AgentConversation;
  AgentConversationList: AgentConversationList;
  AgentConversationCreated: AgentConversationCreated;
  AgentMessageAdded: AgentMessageAdded;
  AgentMessagesRequest: AgentMessagesRequest;
  AgentMessagesAdded: AgentMessagesAdded;
  AgentMessagePage: AgentMessagePage;
  AgentSessionRegistered: AgentSessionRegistered;
  AgentSessionStatus: AgentSessionStatus;
  AgentPushRequest: AgentPushRequest;
  AgentPush: AgentPush;
  Error: Error;
}

/** By operation id: the status of success and the body of that answer; `never` for none. */
export interface Answers {
  listAgentConversations: { 200: AgentConversationList };
  createAgentConversation: { 201: AgentConversationCreated; 200: AgentConversationCreated };
  getAgentConversation: { 200: AgentConversation };
  updateAgentConversation: { 200: AgentConversation };
  deleteAgentConversation: { 204: never };
  addAgentMessage: { 201: AgentMessageAdded; 200: AgentMessageAdded };
  addAgentMessages: { 201: AgentMessagesAdded; 200: AgentMessagesAdded };
  getAgentMessage: { 200: AgentMessage };
  putAgentMessage: { 201: AgentMessage; 200: AgentMessage };
  listAgentMessages: { 200: AgentMessagePage };
  registerAgentSession: { 201: AgentSessionRegistered };
  getAgentSession: { 200: AgentSessionStatus };
  deleteAgentSession: { 204: never };
  pushToAgent: { 202: AgentPush; 200: AgentPush };
  getAgentPush: { 200: AgentPush };
}

/** What is sent over the live socket, by its `type`. */
export interface Frames {
  "agent_conversation.snapshot": WithConversation;
  "agent_conversation.created": WithConversation;
  "agent_conversation.updated": WithConversation & {
    reason: "message_added" | "message_updated" | "updated";
  };
  "agent_conversation.deleted": { conversationId: string };
  "agent_conversation.messages_added": {
    conversationId: string;
    messages: AgentMessage[];
    messageCount: number;
    revision: string;
  };
  "agent_conversation.message_updated": {
    conversationId: string;
    message: AgentMessage;
    index: number;
    revision: string;
  };
  "agent_conversation.changed": {
    conversationId: string;
    conversation: Omit<AgentConversation, "messages">;
    revision: string;
  };
  "agent_session.push": {
    conversationId: string;
    pushId: string;
    kind: "user_message" | "contextual_update";
    text: string;
    contextId?: string;
  };
  error: {
    conversationId: string;
    error: string;
    code: "conversation_not_found" | "corrupt_record" | "store_unavailable";
  };
}

interface WithConversation {
  conversationId: string;
  conversation: AgentConversation;
  revision: string;
}
