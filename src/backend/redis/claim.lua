-- Takes messages under a lease: those whose lease ran out first, then retries that are due, then new ones, each kind
-- oldest first.
--
-- KEYS: list, in-flight hash, leases, retries.
-- ARGV: token of this claim, limit (1 to 1000), lease in milliseconds.
-- Returns a flat array: milliseconds until more can be claimed (0 at once, -1 when nothing is scheduled), records that
-- neither a lease nor a retry speaks for, leases and retries without a record, how many messages come again, what the claim
-- ids of new ones begin with; then claim id, attempt and payload of each message that comes again, and the payloads of the
-- new ones: their attempt is 1, and their claim ids end with their places, from 0000. The payload of a message over 64 KiB is
-- an array: its first 64 KiB, its length, the SHA-1 of its first MiB.
--
-- Guarantees
-- * Every message is at any time in the list, or in the hash. It is written to the hash before it leaves the list. Of one
--   over 64 KiB only the first 64 KiB are written and returned: to a worker it is no message, and it may be larger than
--   the worker's memory.
-- * Nothing is written before arguments and types of the four keys are known to be right, as Lua does not roll back.
-- * Run twice with the same token (something between replays it), it takes further messages under further claim ids and
--   overwrites nothing, as the time has gone on; the first run's messages come back when their lease is over.
-- * A lease or retry without a record is dropped. It can't happen unless somebody else wrote to the keys.
-- * A server that takes no writes is an error, also when there is nothing to claim.
-- * It reads at most 4 MiB and 8 messages more, and messages that follow a long one alone.
-- * A claim id ends with the time of its first claim in microseconds and its place in that claim: in this order messages
--   left the list.

local list, inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if #KEYS ~= 4 or not token or not limit or not lease or limit < 1 or limit > 1000 or lease < 1 then
  return redis.error_reply('ERR claim: wants four keys, a token, a limit from 1 to 1000 and a lease of 1 ms or more')
end

local time = redis.call('TIME')
local now = now_rounded_down(time)
-- As text, once: to make it of a number takes longer than to add it to a sorted set.
local lease_end = string.format('%.0f', now_rounded_up(time) + lease)
local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, limit)
local due = redis.call('ZRANGEBYSCORE', retries, '-inf', now, 'LIMIT', 0, limit - #expired)
local waiting = redis.call('LLEN', list)
redis.call('HLEN', inflight)

local prefix = string.format('%s:%s%06d:', token, time[1], time[2])
local reply, claimed, bytes = { -1, 0, 0, 0, prefix }, 0, 0

local function redeliver(id, from)
  local envelope = redis.call('HGET', inflight, id)
  if not envelope then
    redis.call('ZREM', from, id)
    reply[3] = reply[3] + 1
    return
  end
  bytes = bytes + #envelope
  local attempts, _, payload, length, sha1 = unseal(envelope)
  if not length then
    payload, length, sha1 = keep(payload)
  end
  redis.call('HSET', inflight, id, seal(attempts + 1, token, payload, length, sha1))
  redis.call('ZADD', leases, lease_end, id)
  if from == retries then
    redis.call('ZREM', retries, id)
  end
  claimed = claimed + 1
  local last = #reply
  reply[last + 1], reply[last + 2] = id, attempts + 1
  reply[last + 3] = length and { payload, length, sha1 } or payload
end

-- Even when there is nothing to claim: a replica then says what it is, instead of showing what may be an old and empty
-- queue for ever.
begin_writing(leases)

for _, id in ipairs(expired) do
  if bytes >= BUDGET then
    break
  end
  redeliver(id, leases)
end
for _, id in ipairs(due) do
  if bytes >= BUDGET then
    break
  end
  redeliver(id, retries)
end

reply[4] = claimed

-- New messages: the oldest is at the right end.
local taken, page, records, new_leases = 0, 1, {}, {}
local header, last = seal(1, token, ''), #reply
while claimed < limit and taken < waiting and bytes < BUDGET do
  local count = math.min(page, limit - claimed, waiting - taken)
  local wholes, longest = redis.call('LRANGE', list, -(taken + count), -(taken + 1)), 0
  for position = count, 1, -1 do
    local whole = wholes[position]
    local payload, length, sha1 = keep(whole)
    local id = prefix .. string.format('%04d', taken)
    taken, bytes, longest = taken + 1, bytes + #whole, math.max(longest, #whole)
    records[2 * taken - 1] = id
    records[2 * taken] = length and seal(1, token, payload, length, sha1) or header .. payload
    new_leases[2 * taken - 1], new_leases[2 * taken] = lease_end, id
    reply[last + taken] = length and { payload, length, sha1 } or payload
  end
  claimed, page = claimed + count, next_page(page, longest)
end
if taken > 0 then
  redis.call('HSET', inflight, unpack(records))
  redis.call('ZADD', leases, unpack(new_leases))
  redis.call('LTRIM', list, 0, -(taken + 1))
end

if taken < waiting then
  reply[1] = 0
else
  for _, schedule in ipairs({ leases, retries }) do
    local first = redis.call('ZRANGE', schedule, 0, 0, 'WITHSCORES')[2]
    if first then
      local left = math.max(0, first - now)
      if reply[1] < 0 or left < reply[1] then
        reply[1] = left
      end
    end
  end
end
reply[2] = redis.call('HLEN', inflight) - redis.call('ZCARD', leases) - redis.call('ZCARD', retries)
return reply
