-- find_push(now_ms) -> table, or nil
-- Returns the push with what is known of it at this time, as .state; 'corrupt' where it cannot be
-- read. Never more than is known: what a tab was given and then said nothing of is 'sent' as long as
-- the tab may still speak, or the time of the push is not over.
-- Uses: push_key
local function find_push(now_ms)
  local stored = redis.call(
    'HMGET', push_key, 'createdAtMs', 'expiresAtMs', 'digest', 'sessionId', 'content',
    'claim', 'heldUntilMs', 'result', 'reason'
  )
  local push = {
    created_at_ms = stored[1], expires_at_ms = stored[2], digest = stored[3],
    session_id = stored[4], content = stored[5], claim = stored[6], result = stored[8],
    reason = stored[9] or '',
  }
  local expires_at_ms = tonumber(push.expires_at_ms or nil)
  local held_until_ms = tonumber(stored[7] or 0)
  local is_whole = tonumber(push.created_at_ms or nil) and expires_at_ms and held_until_ms
    and push.digest and (push.content or push.result)
  if not is_whole then
    if redis.call('EXISTS', push_key) == 0 then
      return nil
    end
    push.state = 'corrupt'
  elseif push.result then
    push.state = push.result
  elseif push.claim then
    push.state = now_ms < math.max(expires_at_ms, held_until_ms) and 'sent' or 'unknown'
  else
    push.state = now_ms < expires_at_ms and 'queued' or 'expired'
  end
  return push
end
