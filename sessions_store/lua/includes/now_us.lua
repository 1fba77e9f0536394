-- now_us() -> count
-- Returns the server's time in microseconds since 1970: as a number it is exact until 2255.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
