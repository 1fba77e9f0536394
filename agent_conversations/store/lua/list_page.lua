-- Purpose: read one page of the index and how many conversations it has, as of one moment, without
-- those that have expired.
--
-- KEYS[1]  sorted_key            zset  the index that the page is sorted by: one of the following
-- KEYS[2]  created_at_key        zset  members: conversation ids; scores: ms since 1970
-- KEYS[3]  last_accessed_at_key  zset  likewise
-- KEYS[4]  message_count_key     zset  likewise; scores: a count
-- ARGV[1]  retention_ms          ms    kept after the last access; 0 for ever
-- ARGV[2]  first_rank            rank  of the first entry wanted, as ZRANGE counts: from 0, or from
--                                      the end if negative
-- ARGV[3]  last_rank             rank  of the last entry wanted
--
-- Returns { total, ids in ascending order }; equal scores are ordered by id.
local sorted_key = KEYS[1]
local created_at_key = KEYS[2]
local last_accessed_at_key = KEYS[3]
local message_count_key = KEYS[4]
local retention_ms = ARGV[1]
local first_rank = ARGV[2]
local last_rank = ARGV[3]

--- @include "now_ms"

local retention = tonumber(retention_ms)
if retention > 0 then
  local expired_before_ms = string.format('%.0f', now_ms() - retention)
  repeat
    local expired = redis.call(
      'ZRANGE', last_accessed_at_key, '-inf', expired_before_ms, 'BYSCORE', 'LIMIT', 0, 1000
    )
    if #expired > 0 then
      redis.call('ZREM', created_at_key, unpack(expired))
      redis.call('ZREM', last_accessed_at_key, unpack(expired))
      redis.call('ZREM', message_count_key, unpack(expired))
    end
  until #expired < 1000
end
return {
  redis.call('ZCARD', sorted_key),
  redis.call('ZRANGE', sorted_key, first_rank, last_rank),
}
