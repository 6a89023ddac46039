-- Extends leases to their full length from now.
--
-- KEYS: in-flight hash, leases.
-- ARGV: lease in milliseconds, then claim id and token of each message, at most 1000.
-- Returns how many of them from the first on it has looked at, at least one, but no more than it may read at once; then the
-- positions, from 1, of those among them whose token isn't that of the latest claim, or that are settled. A lease that ran
-- out, but whose message nobody has claimed since, is renewed too.
--
-- Guarantees: nothing but the lease ends changes; running it twice does no harm.

local inflight, leases = KEYS[1], KEYS[2]
local lease, count = tonumber(ARGV[1]), (#ARGV - 1) / 2
if #KEYS ~= 2 or not lease or lease < 1 or count < 1 or count > 1000 or count % 1 ~= 0 then
  return redis.error_reply('ERR renew: wants two keys, a lease of 1 ms or more, and 1 to 1000 claim ids with tokens')
end

local ids = {}
for item = 1, count do
  ids[item] = ARGV[item * 2]
end
local envelopes
count, envelopes = read_records(inflight, ids)
local ends = redis.call('ZMSCORE', leases, unpack(ids))

local lease_end = string.format('%.0f', now_rounded_up(redis.call('TIME')) + lease)
local reply, renewals = { count }, {}
for item = 1, count do
  if envelopes[item] and ends[item] and token_of(envelopes[item]) == ARGV[item * 2 + 1] then
    renewals[#renewals + 1] = lease_end
    renewals[#renewals + 1] = ids[item]
  else
    reply[#reply + 1] = item
  end
end

if #renewals > 0 then
  begin_writing(leases)
  redis.call('ZADD', leases, unpack(renewals))
end
return reply
