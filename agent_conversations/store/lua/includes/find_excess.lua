-- find_excess(message_count, message_bytes) -> { 'full', 'messages' or 'bytes', the most } | nil
-- Finds the limit that a conversation with so many messages, of so many bytes, would exceed.
-- Uses: max_messages max_bytes
local function find_excess(message_count, message_bytes)
  if message_count > tonumber(max_messages) then
    return { 'full', 'messages', max_messages }
  end
  if message_bytes > tonumber(max_bytes) then
    return { 'full', 'bytes', max_bytes }
  end
end
