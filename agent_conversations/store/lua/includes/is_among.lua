-- is_among(words, word) -> boolean
-- Returns whether a word is one of those in a text, which separates them by spaces.
local function is_among(words, word)
  return string.find(' ' .. words .. ' ', ' ' .. word .. ' ', 1, true) ~= nil
end
