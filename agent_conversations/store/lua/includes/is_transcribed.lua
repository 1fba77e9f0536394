-- is_transcribed(ids) -> boolean
-- Returns whether one of the message ids is of a call whose transcript the conversation has: such as
-- <call>:<event>:user, :agent or :tool (see turn_id in transcripts.py).
-- Uses: record_key
local function is_transcribed(ids)
  local transcripts
  for _, id in ipairs(ids) do
    local call, speaker = string.match(id, '^([^:]+):.+:(%a+)$')
    if speaker == 'user' or speaker == 'agent' or speaker == 'tool' then
      transcripts = transcripts or ' ' .. (redis.call('HGET', record_key, 'transcripts') or '')
      if string.find(transcripts, ' ' .. call .. '=', 1, true) then
        return true
      end
    end
  end
  return false
end
