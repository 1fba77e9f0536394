-- find_conflict()
--   -> conflict | nil, created_at_ms, last_accessed_at_ms, count, message_bytes, revision_before
-- Finds a conflict with what is stored. It is the reply that ends the script: { 'missing' } |
-- { 'legacy', its JSON } | { 'corrupt', count of messages, of message ids } | { 'newer', its version },
-- or an error of the server; a corrupt record that is not a matter of these counts has none. Without a
-- conflict, the times are those of the record, as they are stored; count is that of the messages,
-- message_bytes their size, revision_before the record's. An expired record that Redis still has is
-- deleted, and missing.
-- Uses: record_key retention_ms schema_version, and those of count_messages and delete_all
--- @include "count_messages"
--- @include "delete_all"
--- @include "now_ms"

-- The same as LAST_MS in sessions_store/wire/clock.py: the last millisecond of the year 9999.
local LAST_MS = 253402300799999

local function milliseconds(text)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  return number and number <= LAST_MS and number
end

local function find_conflict()
  local stored = redis.pcall(
    'HMGET', record_key,
    'schemaVersion', 'createdAt', 'lastAccessedAt', 'messageBytes', 'requestDigest', 'revision'
  )
  if stored.err then
    local kind = redis.call('TYPE', record_key).ok
    if kind == 'string' then
      return { 'legacy', redis.call('GET', record_key) }
    end
    if kind == 'hash' or kind == 'none' then
      return stored -- not a fault of the record, but an error of the server
    end
    return { 'corrupt' }
  end
  local version = tonumber(stored[1])
  local created_at_ms, last_accessed_at_ms = milliseconds(stored[2]), milliseconds(stored[3])
  if version and version > tonumber(schema_version) then
    return { 'newer', version }
  end
  if not (version and created_at_ms and last_accessed_at_ms) then
    return { redis.call('EXISTS', record_key) == 0 and 'missing' or 'corrupt' }
  end
  local retention = tonumber(retention_ms)
  if retention > 0 and last_accessed_at_ms + retention <= tonumber(now_ms()) then
    delete_all()
    return { 'missing' }
  end
  local message_bytes = tonumber(stored[4] or 0)
  if not (message_bytes and message_bytes >= 0) then
    return { 'corrupt' }
  end
  local damage, count = count_messages(message_bytes, stored[5])
  if damage then
    return damage
  end
  return nil, stored[2], stored[3], count, message_bytes, stored[6] or ''
end
