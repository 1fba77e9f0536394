-- now_ms() -> text
-- Returns the server's time in ms since 1970. It decides about creation, last access and expiry:
-- the hosts of this service may disagree, and one whose clock is wrong must not delete anything.
local function now_ms()
  local time = redis.call('TIME')
  return string.format('%s%03d', time[1], math.floor(time[2] / 1000))
end
