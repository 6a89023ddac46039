-- Removes messages, or puts them back for later.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV, for each message, at most 1000: claim id, token, milliseconds until its retry (-1 removes it instead), and
-- whether the attempt counts (1 or 0).
-- Returns 1 or 0 for each, by position, and for at least one, but for no more than it may read at once: whether the token
-- is that of the message's latest claim and the message was not settled before. Where it says 0, nothing was changed.
--
-- Guarantees
-- * A message that is put back is scheduled before its lease is given up, so that no moment loses it.
-- * Run twice, or with the same message twice, only the first settlement counts.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local count = #ARGV / 4
if #KEYS ~= 3 or count < 1 or count > 1000 or count % 1 ~= 0 then
  return redis.error_reply('ERR settle: wants three keys and 1 to 1000 messages of four values')
end
local ids = {}
for item = 1, count do
  ids[item] = ARGV[item * 4 - 3]
  if not tonumber(ARGV[item * 4 - 1]) then
    return redis.error_reply('ERR settle: the time until a retry is not a number')
  end
end

local envelopes
count, envelopes = read_records(inflight, ids)
local ends = redis.call('ZMSCORE', leases, unpack(ids))
redis.call('ZCARD', retries)

local time = redis.call('TIME')
local verdicts, settled = {}, {}
local removed, released, schedule, records = {}, {}, {}, {}
for item = 1, count do
  local id, after = ids[item], tonumber(ARGV[item * 4 - 1])
  verdicts[item] = 0
  local envelope = ends[item] and not settled[id] and envelopes[item]
  if envelope and token_of(envelope) == ARGV[item * 4 - 2] then
    verdicts[item], settled[id] = 1, true
    released[#released + 1] = id
    if after < 0 then
      removed[#removed + 1] = id
    else
      -- Zero means at once, so it must not round up into the future.
      local base = after == 0 and now_rounded_down(time) or now_rounded_up(time)
      schedule[#schedule + 1] = base + after
      schedule[#schedule + 1] = id
      if ARGV[item * 4] == '0' then
        local attempts, token, payload, length, sha1 = unseal(envelope)
        records[#records + 1] = id
        records[#records + 1] = seal(math.max(0, attempts - 1), token, payload, length, sha1)
      end
    end
  end
end

if #released > 0 then
  begin_writing(leases)
end
if #records > 0 then
  redis.call('HSET', inflight, unpack(records))
end
if #schedule > 0 then
  redis.call('ZADD', retries, unpack(schedule))
end
if #released > 0 then
  redis.call('ZREM', leases, unpack(released))
end
if #removed > 0 then
  redis.call('HDEL', inflight, unpack(removed))
end
return verdicts
