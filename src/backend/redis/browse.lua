-- Reads the payloads of claimed messages, and changes nothing.
--
-- KEYS: in-flight hash.
-- ARGV: cursor (0 to begin with).
-- Returns the next cursor (0 when all records were seen), then about 500 payloads. A record that is there all the while
-- is seen at least once.

local inflight, cursor = KEYS[1], ARGV[1]
if #KEYS ~= 1 or not tonumber(cursor) then
  return redis.error_reply('ERR browse: wants a key and a cursor')
end

local page = redis.call('HSCAN', inflight, cursor, 'COUNT', 500)
local reply = { page[1] }
for position = 2, #page[2], 2 do
  local _, _, payload = unseal(page[2][position])
  reply[#reply + 1] = payload
end
return reply
