-- remove_from(lists)
-- Removes the conversation from the sorted sets of owners (see owner_lists).
-- Uses: conversation_id
local function remove_from(lists)
  for _, list in ipairs(lists) do
    for _, key in ipairs(list) do
      redis.call('ZREM', key, conversation_id)
    end
  end
end
