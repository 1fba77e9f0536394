-- access_time(last_accessed_at_ms) -> text
-- Returns the time of this access: now, but never before the last one, which a server with another
-- clock (before a failover) may have written.
--- @include "now_ms"

local function access_time(last_accessed_at_ms)
  local now = now_ms()
  return tonumber(now) > tonumber(last_accessed_at_ms) and now or last_accessed_at_ms
end
