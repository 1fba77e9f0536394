-- owner_lists() -> { { created_at_key, last_accessed_at_key, message_count_key }, … }
-- Returns the sorted sets that the conversation is in beside those of all conversations: those of
-- its agent, of its user, and of the two together; none if the script was not given the index. Only
-- the record knows the two ids, so these are the only keys that are made in Lua: each is one of
-- index_keys with the owner before its last part, as keys.index_keys() in Python makes it.
-- Uses: record_key index_keys
local function owner_lists()
  if not index_keys[1] then
    return {}
  end
  -- A record that is not a hash has neither: pcall returns an error.
  local ids = redis.pcall('HMGET', record_key, 'agentId', 'userId')
  local agent_id, user_id = ids[1], ids[2]
  if not (agent_id or user_id) then
    return {}
  end
  local lists = {}
  local start = string.match(index_keys[1], '^.*:')
  local function add(owner)
    local list = {}
    for position, index_key in ipairs(index_keys) do
      list[position] = start .. owner .. ':' .. string.sub(index_key, #start + 1)
    end
    lists[#lists + 1] = list
  end
  if agent_id then
    add('agentId:' .. agent_id)
  end
  if user_id then
    add('userId:' .. user_id)
  end
  if agent_id and user_id then
    -- The length keeps apart what the colons in two ids could make look alike.
    add('both:' .. #agent_id .. ':' .. agent_id .. ':' .. user_id)
  end
  return lists
end
