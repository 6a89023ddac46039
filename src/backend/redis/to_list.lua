-- Puts claimed messages back on the producers' list, each at its right end, where the oldest are: the last one that is put
-- back is taken first.
--
-- KEYS: list, in-flight hash, leases, retries.
-- ARGV: 1 to take those under a lease too, 0 to leave them; then claim ids, newest message first, at most 1000.
-- Returns how many of them it has dealt with, at least one, but no more than it may read at once; then how many of these
-- it has put back, how many are under a lease and were left, and how many are longer than 64 KiB and were left. The rest
-- are no longer claimed.
--
-- Guarantees
-- * A message is in the list before its record is removed, and both happen in one step.
-- * Run twice it changes nothing more. After one that broke off, further ones are older and end up further right.
-- * Nothing is written before the types of the four keys are known to be right.

local list, inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local takes_leased, count = ARGV[1], #ARGV - 1
if #KEYS ~= 4 or (takes_leased ~= '0' and takes_leased ~= '1') or count < 1 or count > 1000 then
  return redis.error_reply('ERR to_list: wants four keys, 1 or 0, and 1 to 1000 claim ids')
end

local now = now_rounded_down(redis.call('TIME'))
redis.call('LLEN', list)
redis.call('HLEN', inflight)
redis.call('ZCARD', leases)
redis.call('ZCARD', retries)

local done, leased, long, bytes, item = 0, 0, 0, 0, 0
while item < count and bytes < BUDGET do
  item = item + 1
  local id = ARGV[item + 1]
  local size = redis.call('HSTRLEN', inflight, id)
  local lease_end = tonumber(redis.call('ZSCORE', leases, id) or 0)
  if lease_end > now and takes_leased == '0' then
    leased = leased + 1
  elseif size > LONGEST_RECORD then
    long = long + 1
  elseif size > 0 then
    local _, _, payload, length = unseal(redis.call('HGET', inflight, id))
    bytes = bytes + size
    if length then
      long = long + 1
    else
      begin_writing(leases)
      redis.call('RPUSH', list, payload)
      redis.call('HDEL', inflight, id)
      redis.call('ZREM', leases, id)
      redis.call('ZREM', retries, id)
      done = done + 1
    end
  end
end
return { item, done, leased, long }
