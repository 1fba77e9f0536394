-- Shared by every script on one conversation: the loader puts it in front of each of them.
--
-- KEYS[1]  hash    the record (a string where an older writer kept the whole conversation as JSON)
-- KEYS[2]  list    the messages, one JSON object each
-- KEYS[3]  hash    message id -> position in the list
-- KEYS[4]  zset    the list by createdAt, in milliseconds        (KEYS[4..6] only where they share a
-- KEYS[5]  zset    the list by lastAccessedAt, in milliseconds    server with the record; on a
-- KEYS[6]  zset    the list by messageCount                       cluster the index follows later)
-- ARGV[1]  text    the conversation id, the member in the index
-- ARGV[2]  ms      now
-- ARGV[3]  ms      retention after the last access; 0 keeps the conversation for ever
-- ARGV[4]  count   the newest record version that the caller understands

local function delete_all()
  redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
  for position = 4, #KEYS do
    redis.call('ZREM', KEYS[position], ARGV[1])
  end
end

-- Returns a stored time as a number; nil where it is none, or past the year 9999.
local function milliseconds(text)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  return number and number <= 253402300799999 and number
end

-- Returns the reply that ends the script where the record cannot be worked on:
-- {'missing'} | {'one_string', its JSON} | {'corrupt'} | {'newer'}; nil where it can, with the
-- record's createdAt, lastAccessedAt and messageBytes as they stand there.
local function find_obstacle()
  local known = redis.pcall(
    'HMGET', KEYS[1], 'schemaVersion', 'createdAt', 'lastAccessedAt', 'messageBytes'
  )
  if known.err then
    local kind = redis.call('TYPE', KEYS[1]).ok
    if kind == 'string' then
      return { 'one_string', redis.call('GET', KEYS[1]) }
    end
    if kind == 'hash' or kind == 'none' then
      return known -- not the record's fault: an error of the server's, and so the script's reply
    end
    return { 'corrupt' }
  end
  local version = tonumber(known[1])
  local created, accessed = milliseconds(known[2]), milliseconds(known[3])
  if version and version > tonumber(ARGV[4]) then
    return { 'newer' }
  end
  if not (version and created and accessed) then
    return { redis.call('EXISTS', KEYS[1]) == 0 and 'missing' or 'corrupt' }
  end
  local retention = tonumber(ARGV[3])
  if retention > 0 and accessed + retention <= tonumber(ARGV[2]) then
    delete_all()
    return { 'missing' }
  end
  return nil, known[2], known[3], known[4]
end

-- Puts the conversation into the index and sets its expiry by its last access.
local function settle(created, accessed, count)
  if KEYS[4] then
    redis.call('ZADD', KEYS[4], created, ARGV[1])
    redis.call('ZADD', KEYS[5], accessed, ARGV[1])
    redis.call('ZADD', KEYS[6], count, ARGV[1])
  end
  local retention = tonumber(ARGV[3])
  if retention > 0 then
    local expires_at = string.format('%.0f', accessed + retention)
    for position = 1, 3 do
      redis.call('PEXPIREAT', KEYS[position], expires_at)
    end
  elseif redis.call('PERSIST', KEYS[1]) == 1 then
    redis.call('PERSIST', KEYS[2])
    redis.call('PERSIST', KEYS[3])
  end
end

-- Marks the conversation as accessed now.
local function touch(created, count)
  redis.call('HSET', KEYS[1], 'lastAccessedAt', ARGV[2])
  settle(created, ARGV[2], count)
end

-- Returns whether a revision is one of those in a text, separated by spaces.
local function is_among(revisions, revision)
  return string.find(' ' .. revisions .. ' ', ' ' .. revision .. ' ', 1, true) ~= nil
end

local function whole(status)
  return { status, redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1) }
end
