-- delete_all()
-- Deletes the record, the messages and the index entry of the conversation.
-- Uses: record_key messages_key message_ids_key index_keys conversation_id
local function delete_all()
  redis.call('UNLINK', record_key, messages_key, message_ids_key)
  for _, index_key in ipairs(index_keys) do
    redis.call('ZREM', index_key, conversation_id)
  end
end
