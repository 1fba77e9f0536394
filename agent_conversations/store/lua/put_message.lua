-- Purpose: replace the message with an id in its place, or append the message; if wanted only one
-- whose content the client knows.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    changes_channel  text   where the change is published
-- ARGV[3]    publish_command  text   SPUBLISH on a Cluster, else PUBLISH
-- ARGV[4]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[5]    schema_version   count  the newest version of records that the caller can read
-- ARGV[6]    new_revision     text   of the conversation with this message in it
-- ARGV[7]    max_messages     count  the most messages that a conversation may have
-- ARGV[8]    max_bytes        count  the most bytes that they may have together
-- ARGV[9]    message_id       text
-- ARGV[10]   message_json     bytes
-- ARGV[11]   own_timestamp    text   of the client; empty: it has none, and that of the stored
--                                    message stays, in place of the one in message_json
-- ARGV[12]   allowed          text   tags, separated by spaces, of which the stored message must
--                                    have one; * for any; empty: there need not be one. The tag is
--                                    the first 16 digits of the SHA-1 of the stored JSON.
-- ARGV[13]   known_tag        text   likewise, of the stored message that the caller has compared with
--                                    its own, because one of them is encrypted; empty: none yet
--
-- Returns { 'appended' or 'replaced' or 'repeated', created_at_ms, last_accessed_at_ms, count, the
-- JSON that is stored now }; or { 'stale' }; or a reply of includes/find_excess.lua; or a conflict
-- (see includes/find_conflict.lua). A message of a call whose transcript is stored is 'repeated': it
-- stays as it is, unless allowed names it; where it is not stored, { 'transcribed' }, and the caller
-- looks whether it is a turn of the transcript. Or { 'encrypted', the stored message } that is not known:
-- the caller compares, and calls again.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local schema_version = ARGV[5]
local new_revision = ARGV[6]
local max_messages = ARGV[7]
local max_bytes = ARGV[8]
local message_id = ARGV[9]
local message_json = ARGV[10]
local own_timestamp = ARGV[11]
local allowed = ARGV[12]
local known_tag = ARGV[13]

--- @include "find_conflict"
--- @include "find_excess"
--- @include "append_all"
--- @include "is_among"
--- @include "is_encrypted"
--- @include "is_transcribed"
--- @include "publish_change"
--- @include "raise_version"
--- @include "touch"

-- In JSON, a quote after a brace or a comma begins a key or a string, or ends a string; only a key is
-- a word with a colon behind it. So what is found is a key, and never a part of what was said. Below
-- toolArgs, the client's own object, a key may have the same name.
local TIMESTAMP = '[{,]%s*"timestamp"%s*:%s*"()[%d%-T:.]+Z()"'
local OBJECT = '[{,]%s*"toolArgs"%s*:%s*{'

local function find_timestamp(json)
  local first, after = string.match(json, TIMESTAMP)
  local object = string.find(json, OBJECT)
  if first and object and object < first then
    -- Releases before 1.3 wrote a timestamp of their own behind what the client had sent.
    return string.match(json, '.*' .. TIMESTAMP)
  end
  return first, after
end

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes, revision_before =
  find_conflict()
if conflict then
  return conflict
end
local position = redis.call('HGET', message_ids_key, message_id)
if not position then
  if allowed ~= '' then
    return { 'stale' }
  end
  if is_transcribed({ message_id }) then
    return { 'transcribed' }
  end
  local excess = find_excess(count + 1, message_bytes + #message_json)
  if excess then
    return excess
  end
  local failure, accessed_at_ms = append_all(
    { message_id }, { message_json }, count, message_bytes + #message_json,
    created_at_ms, last_accessed_at_ms, revision_before
  )
  if failure then
    return failure
  end
  return { 'appended', created_at_ms, accessed_at_ms, count + 1, message_json }
end
local stored = redis.call('LINDEX', messages_key, position)
if not stored then
  return { 'corrupt' }
end
if allowed == '' and is_transcribed({ message_id }) then
  return { 'repeated', created_at_ms, last_accessed_at_ms, count, stored }
end
local function stored_tag()
  return string.sub(redis.sha1hex(stored), 1, 16)
end
-- If the reply to a first attempt was lost, the second finds its own revision, or message.
local is_repeated = revision_before == new_revision or stored == message_json
if known_tag ~= '' or is_encrypted(stored) or is_encrypted(message_json) then
  if not is_repeated and known_tag ~= stored_tag() then
    return { 'encrypted', stored }
  end
elseif allowed ~= '' and allowed ~= '*' then
  if revision_before ~= new_revision and not is_among(allowed, stored_tag()) then
    return { 'stale' }
  end
end
if own_timestamp == '' then
  local stored_first, stored_after = find_timestamp(stored)
  local first, after = find_timestamp(message_json)
  if stored_first then
    message_json = string.sub(message_json, 1, first - 1)
      .. string.sub(stored, stored_first, stored_after - 1)
      .. string.sub(message_json, after)
  end
end
if message_json ~= stored then
  local new_bytes = math.max(0, message_bytes - #stored) + #message_json
  local excess = #message_json > #stored and find_excess(count, new_bytes)
  if excess then
    return excess
  end
  redis.call('LSET', messages_key, position, message_json)
  redis.call(
    'HSET', record_key,
    'revision', new_revision,
    'messageBytes', string.format('%.0f', new_bytes)
  )
  raise_version(message_json)
end
local accessed_at_ms = touch(created_at_ms, last_accessed_at_ms, count)
if message_json ~= stored then
  publish_change('message_updated', revision_before, new_revision, count, position)
end
return { 'replaced', created_at_ms, accessed_at_ms, count, message_json }
