-- list_page(sorted, createdAt, lastAccessedAt, messageCount) -> { total, ids }
-- Purpose: one page of the list and how many conversations it has in all, as of one moment.
-- KEYS[1]     zset  the index that the page is sorted by, one of the following three
-- KEYS[2..4]  zset  the whole index; scores in milliseconds, milliseconds, a count
-- ARGV[1]  ms    conversations last accessed at or before this have expired; 0 where none expire
-- ARGV[2]  rank  the first one wanted
-- ARGV[3]  rank  the last one wanted
-- ARGV[4]  word  REV for descending order; absent for ascending
-- Returns the total and the ids in order. Equal scores are ordered by id, in the same direction.
if ARGV[1] ~= '0' then
  repeat
    local expired = redis.call('ZRANGE', KEYS[3], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, 1000)
    if #expired > 0 then
      for key = 2, 4 do
        redis.call('ZREM', KEYS[key], unpack(expired))
      end
    end
  until #expired < 1000
end
return {
  redis.call('ZCARD', KEYS[1]),
  redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], unpack(ARGV, 4)),
}
