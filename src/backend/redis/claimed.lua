-- Says of claimed messages how often they were claimed and when they are due, and changes nothing.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: cursor (0 to begin with).
-- Returns the next cursor (0 when all records were seen), then of about 500 records, or of fewer long ones, each: claim id,
-- attempts, whether a lease speaks for it (1 or 0), milliseconds until that or its retry (below 0 when that is over, 0 if
-- neither speaks for it), and whether it is longer than 64 KiB (1 or 0). A record that is there all the while is seen at
-- least once.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local cursor = ARGV[1]
if #KEYS ~= 3 or not tonumber(cursor) then
  return redis.error_reply('ERR claimed: wants three keys and a cursor')
end

local now = now_rounded_down(redis.call('TIME'))
local reply = { '0' }
reply[1] = scan('HSCAN', inflight, cursor, function(id, envelope)
  local attempts, _, payload, length = unseal(envelope)
  local lease_end = redis.call('ZSCORE', leases, id)
  local due = lease_end or redis.call('ZSCORE', retries, id) or now
  local last = #reply
  reply[last + 1], reply[last + 2] = id, attempts
  reply[last + 3], reply[last + 4] = lease_end and 1 or 0, due - now
  reply[last + 5] = (length or #payload > LONGEST) and 1 or 0
  return #envelope
end)
return reply
