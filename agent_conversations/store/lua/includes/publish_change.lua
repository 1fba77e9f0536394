-- publish_change(kind, revision_before, revision_after, message_count, position)
-- Tells those who watch the conversation of a change: 'created', 'message_added', 'message_updated'
-- (the one at a position), 'updated', 'rewritten' (several messages) or 'deleted'. Every script that
-- changes a conversation ends in this. It is a hint to read; a change that cannot be published (ACL)
-- has taken place all the same.
-- Uses: changes_channel publish_command
local function publish_change(kind, revision_before, revision_after, message_count, position)
  local change = table.concat(
    { kind, revision_before, revision_after, message_count, position or '' }, ' '
  )
  local sent = redis.pcall(publish_command, changes_channel, change)
  if type(sent) == 'table' then
    redis.pcall('PUBLISH', changes_channel, change) -- servers before Redis 7 have no SPUBLISH
  end
end
