-- Hands back what claims took whose answers never arrived: claimable at once, and with no attempt spent.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: cursor (0 to begin with), then the tokens of 1 to 100 such claims.
-- Returns the next cursor (0 when all leases were seen) and how many were handed back. Looks at about 500 leases: what is
-- under none is none of theirs.
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
redis.call('HLEN', inflight)
redis.call('ZCARD', retries)
local found = 0
local next_cursor = scan('ZSCAN', leases, cursor, function(id)
  -- A longer one belongs to a claim of an earlier version, and is none of these.
  local envelope = redis.call('HSTRLEN', inflight, id) <= LONGEST_RECORD and redis.call('HGET', inflight, id)
  if not envelope or not lost[token_of(envelope) or ''] then
    return envelope and #envelope or 0
  end
  local attempts, token, payload, length, sha1 = unseal(envelope)
  begin_writing(leases)
  redis.call('HSET', inflight, id, seal(math.max(0, attempts - 1), token, payload, length, sha1))
  redis.call('ZADD', retries, now, id)
  redis.call('ZREM', leases, id)
  found = found + 1
  return #envelope
end)
return { next_cursor, found }
