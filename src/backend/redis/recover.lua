-- Gives a lease to records that neither a lease nor a retry speaks for, so that they are delivered again.
--
-- No script of ours leaves such a record. An operator who deletes the leases, or a server that evicts keys, does, and
-- then the message would stay in the hash for ever. Its worker may still be at work on it: hence a full lease.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: cursor (0 to begin with), lease in milliseconds; 0 to look only.
-- Returns the next cursor (0 when all records were seen) and how many were found. Looks at about 500 records.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local cursor, lease = ARGV[1], tonumber(ARGV[2])
if #KEYS ~= 3 or not tonumber(cursor) or not lease or lease < 0 then
  return redis.error_reply('ERR recover: wants three keys, a cursor and a lease, or 0')
end

local lease_end = now_rounded_up(redis.call('TIME')) + lease
local found = 0
local next_cursor = scan('HSCAN', inflight, cursor, function(id, envelope)
  if not redis.call('ZSCORE', leases, id) and not redis.call('ZSCORE', retries, id) then
    found = found + 1
    if lease > 0 then
      begin_writing(leases)
      redis.call('ZADD', leases, lease_end, id)
    end
  end
  return #envelope
end)
return { next_cursor, found }
