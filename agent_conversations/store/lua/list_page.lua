-- Purpose: read one page of the index and how many conversations it has, as of one moment, without
-- those that have expired. The cost does not grow with the entries outside of the page.
--
-- KEYS[1]   sorted_key         zset  the index that the page is sorted by: one of the following
-- KEYS[2..] index_keys         zset  members: conversation ids; by createdAt and lastAccessedAt (ms
--                                    since 1970) and messageCount
-- ARGV[1]   retention_ms       ms    kept after the last access; 0 for ever
-- ARGV[2]   lowest             text  only entries with this score or a higher one; -inf for all
-- ARGV[3]   highest            text  only entries with this score or a lower one; +inf for all
-- ARGV[4]   order              text  asc or desc, by score and then by id
-- ARGV[5]   after_score        text  of the last entry of the page before; empty for none
-- ARGV[6]   after_id           text  its id
-- ARGV[7]   offset             rank  of the first entry wanted, from the start or after that one
-- ARGV[8]   limit              count of the entries wanted
--
-- Returns { count of the entries between the two scores, rank of the page's first among them, count
-- of those that follow the page, { id, score, id, score … } }, all in the order asked for.
local sorted_key = KEYS[1]
local index_keys = { unpack(KEYS, 2) }
local retention_ms = ARGV[1]
local lowest = ARGV[2]
local highest = ARGV[3]
local order = ARGV[4]
local after_score = ARGV[5]
local after_id = ARGV[6]
local offset = ARGV[7]
local limit = ARGV[8]

--- @include "now_ms"

-- Byte by byte, as Redis does: Lua's own < goes by the server's locale.
local function precedes(one, other)
  for position = 1, math.min(#one, #other) do
    local difference = string.byte(one, position) - string.byte(other, position)
    if difference ~= 0 then
      return difference < 0
    end
  end
  return #one < #other
end

-- Returns how many entries are before (after_score, after_id), and how many up to it, itself among
-- them if it is still there.
local function ranks_of_after()
  if redis.call('ZSCORE', sorted_key, after_id) == after_score then
    local rank = redis.call('ZRANK', sorted_key, after_id)
    return rank, rank + 1
  end
  local first = redis.call('ZCOUNT', sorted_key, '-inf', '(' .. after_score)
  local last = redis.call('ZCOUNT', sorted_key, '-inf', after_score)
  while first < last do -- the entries of the same score, halved again and again
    local middle = math.floor((first + last) / 2)
    if precedes(redis.call('ZRANGE', sorted_key, middle, middle)[1], after_id) then
      first = middle + 1
    else
      last = middle
    end
  end
  return first, first
end

local retention = tonumber(retention_ms)
if retention > 0 then
  local expired_before_ms = string.format('%.0f', now_ms() - retention)
  repeat
    local expired = redis.call(
      'ZRANGE', index_keys[2], '-inf', expired_before_ms, 'BYSCORE', 'LIMIT', 0, 1000
    )
    if #expired > 0 then
      for _, index_key in ipairs(index_keys) do
        redis.call('ZREM', index_key, unpack(expired))
      end
    end
  until #expired < 1000
end

-- All ranks count in ascending order; first and last are those of the entries to choose from.
local total = redis.call('ZCOUNT', sorted_key, lowest, highest)
local start = lowest == '-inf' and 0 or redis.call('ZCOUNT', sorted_key, '-inf', '(' .. lowest)
local first, last = start, start + total - 1
if after_score ~= '' then
  local before, up_to = ranks_of_after()
  if order == 'asc' then
    first = math.max(first, up_to)
  else
    last = math.min(last, before - 1)
  end
end
local remaining, position
if order == 'asc' then
  first = first + tonumber(offset)
  position = first - start
  remaining = last - first + 1 - tonumber(limit)
  last = math.min(last, first + tonumber(limit) - 1)
else
  last = last - tonumber(offset)
  position = start + total - 1 - last
  remaining = last - first + 1 - tonumber(limit)
  first = math.max(first, last - tonumber(limit) + 1)
end
if first > last then
  return { total, position, 0, {} }
end
local entries
if order == 'asc' then
  entries = redis.call('ZRANGE', sorted_key, first, last, 'WITHSCORES')
else
  local highest_rank = redis.call('ZCARD', sorted_key) - 1
  entries = redis.call(
    'ZRANGE', sorted_key, highest_rank - last, highest_rank - first, 'REV', 'WITHSCORES'
  )
end
return { total, position, math.max(remaining, 0), entries }
