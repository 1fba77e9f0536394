-- delete_all()
-- Deletes the record, the messages and the index entries of the conversation.
-- Uses: record_key messages_key message_ids_key index_keys conversation_id
--- @include "owner_lists"
--- @include "remove_from"

local function delete_all()
  local lists = owner_lists()
  redis.call('UNLINK', record_key, messages_key, message_ids_key)
  remove_from({ index_keys, unpack(lists) })
end
