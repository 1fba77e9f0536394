-- find_conflict() -> conflict | nil, created_at_ms, last_accessed_at_ms, message_bytes
-- Finds a conflict with the stored record. It is the reply that ends the script: { 'missing' } |
-- { 'legacy', its JSON } | { 'corrupt' } | { 'newer' }, or an error of the server. Without one, the
-- other values are those of the record, as they are stored. An expired record that Redis still has
-- is deleted, and missing.
-- Uses: record_key retention_ms schema_version, and those of delete_all
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
    'HMGET', record_key, 'schemaVersion', 'createdAt', 'lastAccessedAt', 'messageBytes'
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
    return { 'newer' }
  end
  if not (version and created_at_ms and last_accessed_at_ms) then
    return { redis.call('EXISTS', record_key) == 0 and 'missing' or 'corrupt' }
  end
  local retention = tonumber(retention_ms)
  if retention > 0 and last_accessed_at_ms + retention <= tonumber(now_ms()) then
    delete_all()
    return { 'missing' }
  end
  return nil, stored[2], stored[3], stored[4]
end
