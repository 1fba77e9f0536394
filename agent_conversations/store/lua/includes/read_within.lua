-- read_within(from, to, left, is_ascending) -> { message, message … }
-- Reads the messages from one position to another, in order or the last ones first, until they
-- have more than a number of bytes; one at least.
-- Uses: messages_key

-- So many at a time, because a message may have 1 MiB: more would be read than may come.
local CHUNK = 16

local function read_within(from, to, left, is_ascending)
  local found = {}
  while from <= to do
    local chunk
    if is_ascending then
      chunk = redis.call('LRANGE', messages_key, from, math.min(to, from + CHUNK - 1))
      from = from + CHUNK
    else
      chunk = redis.call('LRANGE', messages_key, math.max(from, to - CHUNK + 1), to)
      to = to - CHUNK
    end
    for i = 1, #chunk do
      local message = chunk[is_ascending and i or #chunk + 1 - i]
      left = left - #message
      if left < 0 and #found > 0 then
        return found
      end
      found[#found + 1] = message
    end
  end
  return found
end
