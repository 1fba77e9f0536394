-- Purpose: see whether a write such as ours succeeds. Only the first key is written; the second makes
-- a node of a Redis Cluster refuse the script as it refuses those of a conversation and the list.
--
-- KEYS[1]  probe_key        string  empty
-- KEYS[2]  other_probe_key  string  not written
-- ARGV[1]  ttl_seconds      seconds
--
-- Returns nothing.
local probe_key = KEYS[1]
local other_probe_key = KEYS[2]
local ttl_seconds = ARGV[1]

redis.call('SET', probe_key, '', 'EX', ttl_seconds)
