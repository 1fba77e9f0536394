-- keep_epoch(revision_before, revision_after) -> text
-- Returns the revision after appended messages: with the epoch of the one before. See new_revision
-- in store/records.py.
local EPOCH_DIGITS = 12

local function keep_epoch(revision_before, revision_after)
  local epoch = string.sub(revision_before .. revision_after, 1, EPOCH_DIGITS)
  return epoch .. string.sub(revision_after, EPOCH_DIGITS + 1)
end
