-- Hands back what claims took whose answers never arrived: claimable at once, and with no attempt spent.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: cursor (0 to begin with), then the tokens of 1 to 100 such claims.
-- Returns the next cursor (0 when all records were seen) and how many were handed back. Looks at about 500 records.
--
-- Guarantees
-- * Only messages whose latest claim is one of these are touched, and only while they are under its lease.
-- * A message is scheduled before its lease is given up, so that no moment loses it.
-- * Run twice, it changes nothing more: what was handed back has no lease.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local cursor = ARGV[1]
if #KEYS ~= 3 or not tonumber(cursor) or #ARGV < 2 or #ARGV > 101 then
  return redis.error_reply('ERR hand_back: wants three keys, a cursor and 1 to 100 tokens')
end
local lost = {}
for position = 2, #ARGV do
  lost[ARGV[position]] = true
end

local now = now_rounded_down(redis.call('TIME'))
local page = redis.call('HSCAN', inflight, cursor, 'COUNT', 500)
redis.call('ZCARD', retries)
local found = 0
for position = 1, #page[2], 2 do
  local id, envelope = page[2][position], page[2][position + 1]
  local token = token_of(envelope)
  if token and lost[token] and redis.call('ZSCORE', leases, id) then
    local attempts, _, payload = unseal(envelope)
    begin_writing(leases)
    redis.call('HSET', inflight, id, seal(math.max(0, attempts - 1), token, payload))
    redis.call('ZADD', retries, now, id)
    redis.call('ZREM', leases, id)
    found = found + 1
  end
end
return { page[1], found }
