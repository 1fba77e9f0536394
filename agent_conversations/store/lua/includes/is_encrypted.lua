-- is_encrypted(stored) -> boolean
-- Returns whether a stored message or field is a Fernet token, which only the caller can read: each
-- begins with this letter (see store/encryption.py), and no JSON of an object and no digest does.
local function is_encrypted(stored)
  return string.byte(stored) == string.byte('g')
end
