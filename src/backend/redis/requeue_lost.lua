-- Puts in messages for orders that have none: straight among the retries, due now, as the list belongs to producers.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: claim id, attempts spent and payload of each message, at most 1000.
-- Returns how many were put in.
--
-- Guarantees
-- * A claim id that is in the hash is left as it is, so that neither a repetition nor a second reconciler makes another
--   message of the same order.
-- * Nothing is written before the types of the keys are known to be right. A Redis over its `maxmemory` refuses.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local count = #ARGV / 3
if #KEYS ~= 3 or count < 1 or count > 1000 or count % 1 ~= 0 then
  return redis.error_reply('ERR requeue_lost: wants three keys and 1 to 1000 claim ids with attempts and payloads')
end

for item = 1, count do
  if not tonumber(ARGV[item * 3 - 1]) then
    return redis.error_reply('ERR requeue_lost: attempts are not a number')
  end
end
redis.call('HLEN', inflight)
redis.call('ZCARD', leases)
redis.call('ZCARD', retries)
local now = now_rounded_down(redis.call('TIME'))
local adopted = 0
for item = 1, count do
  local id, attempts, payload = ARGV[item * 3 - 2], tonumber(ARGV[item * 3 - 1]), ARGV[item * 3]
  if redis.call('HSETNX', inflight, id, seal(attempts, 'adopted', payload)) == 1 then
    redis.call('ZADD', retries, now, id)
    adopted = adopted + 1
  end
end
return adopted
