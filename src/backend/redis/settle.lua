-- Removes messages, or puts them back for later.
--
-- KEYS: in-flight hash, leases, retries.
-- ARGV: runs of messages, at most 1000 in all, each run: token, what becomes of them, how many they are, their claim ids.
-- "ack" removes them; "spent" and "unspent" put them back, and what follows that word are the milliseconds until the retry:
-- "spent 5000". An unspent attempt doesn't count.
-- Returns how many messages from the first on it has dealt with, at least one, but no more than it may read at once; then
-- the positions, from 1, of those among them whose token isn't that of the latest claim, or that were settled before. Of
-- these nothing was changed.
--
-- Guarantees
-- * A message that is put back is scheduled before its lease is given up, so that no moment loses it.
-- * Run twice, or with the same message twice, only the first settlement counts.

local inflight, leases, retries = KEYS[1], KEYS[2], KEYS[3]
local ids, runs = {}, {}

-- `mark` is where nearly every record has its token, and found without making a string of it.
local function is_held(envelope, token, mark)
  return string.find(envelope, mark, 1, true) == 2 or token_of(envelope) == token
end

local wrong, position = #KEYS ~= 3 or #ARGV == 0, 1
while position <= #ARGV and not wrong do
  local outcome, length, word, delay = ARGV[position + 1], tonumber(ARGV[position + 2]) or 0
  wrong = length < 1 or position + 2 + length > #ARGV or #ids + length > 1000
  if outcome ~= 'ack' then
    word, delay = string.match(outcome or '', '^(%l+) (%d+)$')
    wrong = wrong or (word ~= 'spent' and word ~= 'unspent')
  end
  if not wrong then
    local first = #ids
    for item = 1, length do
      ids[first + item] = ARGV[position + 2 + item]
    end
    local token = ARGV[position]
    runs[#runs + 1] = {
      first = first + 1,
      last = first + length,
      token = token,
      mark = ' ' .. token .. '\n',
      word = word,
      delay = delay and tonumber(delay),
    }
    position = position + 3 + length
  end
end
if wrong then
  return redis.error_reply('ERR settle: wants three keys and 1 to 1000 messages in runs of token, outcome, number and ids')
end

local count, envelopes = read_records(inflight, ids)
local put_back = redis.call('ZMSCORE', retries, unpack(ids))

local time = redis.call('TIME')
local reply, settled = { count }, {}
local removed, released, schedule, records = {}, {}, {}, {}
for _, run in ipairs(runs) do
  -- Zero means at once, so it must not round up into the future.
  local base = run.delay == 0 and now_rounded_down(time) or now_rounded_up(time)
  for item = run.first, math.min(run.last, count) do
    local id, envelope = ids[item], envelopes[item]
    if not envelope or put_back[item] or settled[id] or not is_held(envelope, run.token, run.mark) then
      reply[#reply + 1] = item
    else
      settled[id] = true
      if not run.delay then
        removed[#removed + 1] = id
      else
        released[#released + 1] = id
        schedule[#schedule + 1], schedule[#schedule + 2] = base + run.delay, id
        if run.word == 'unspent' then
          local attempts, token, payload, length, sha1 = unseal(envelope)
          records[#records + 1] = id
          records[#records + 1] = seal(math.max(0, attempts - 1), token, payload, length, sha1)
        end
      end
    end
  end
end

if #removed + #released > 0 then
  begin_writing(leases)
end
if #records > 0 then
  redis.call('HSET', inflight, unpack(records))
end
if #released > 0 then
  redis.call('ZADD', retries, unpack(schedule))
  redis.call('ZREM', leases, unpack(released))
end
if #removed > 0 then
  redis.call('ZREM', leases, unpack(removed))
  redis.call('HDEL', inflight, unpack(removed))
end
return reply
