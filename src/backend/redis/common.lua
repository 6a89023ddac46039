-- Shared beginning of every script that touches claimed messages.
--
-- A record in the in-flight hash is its envelope: how often the message was claimed, a space, the token of the latest
-- claim, a line feed, then the producer's bytes untouched. Of a message over 64 KiB only the first 64 KiB are kept:
-- then its length and the SHA-1 of its first MiB follow the token, each after a space.
--
-- Redis answers nobody while a script runs, and to read a value is to copy it three times. So no script reads more values
-- after it has read BUDGET bytes, and those that may be of any length it reads a few at a time: see `next_page`.

-- The longest message that is kept whole, in bytes; as MAX_MESSAGE_BYTES in src/domain/message.rs.
local LONGEST = 64 * 1024
-- The longest record that a script of ours writes: no token comes near a KiB. Earlier versions kept every message whole.
local LONGEST_RECORD = LONGEST + 1024
local BUDGET = 4 * 1024 * 1024
-- Most values of unknown length that are read at once.
local PAGE = 8
-- The same of records of our own claims, which are no longer than that: these are little more than BUDGET bytes.
local RECORDS = 64
-- How much of a longer message is hashed, which takes Redis 2 ms a MiB; as HASHED_BYTES in src/domain/message.rs.
local HASHED = 1024 * 1024

-- Milliseconds since 1970 by the server's clock, rounded up so that "not before" holds to the millisecond.
local function now_rounded_up(time)
  return time[1] * 1000 + math.ceil(time[2] / 1000)
end

local function now_rounded_down(time)
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What is kept of a producer's bytes: them, or their beginning, their length and the SHA-1.
local function keep(payload)
  if #payload <= LONGEST then
    return payload
  end
  return string.sub(payload, 1, LONGEST), #payload, redis.sha1hex(string.sub(payload, 1, HASHED))
end

local function seal(attempts, token, payload, length, sha1)
  if length then
    return string.format('%d %s %d %s\n', attempts, token, length, sha1) .. payload
  end
  return string.format('%d %s\n', attempts, token) .. payload
end

-- Attempts, token and payload, and of a message over 64 KiB its length and the SHA-1. A record that is no envelope was written
-- by somebody else: it is treated as a payload that nobody has claimed, as losing it would be worse.
local function unseal(envelope)
  local attempts, token, last = string.match(envelope, '^(%d+) (%S+)()[ \n]')
  if not attempts then
    return 0, '', envelope
  end
  if string.sub(envelope, last, last) == '\n' then
    return tonumber(attempts), token, string.sub(envelope, last + 1)
  end
  local length, sha1, start = string.match(envelope, '^ (%d+) (%x+)\n()', last)
  if not length then
    return 0, '', envelope
  end
  return tonumber(attempts), token, string.sub(envelope, start), tonumber(length), sha1
end

-- The token alone, without a copy of the payload.
local function token_of(envelope)
  return string.match(envelope, '^%d+ (%S+)[ \n]')
end

-- How many values to read at once after `page` of them, the longest of which had so many bytes: twice as many while they are
-- short, as a call costs as much as reading a short value, and one after a long one. No length is known before its value is
-- read, so a script may read BUDGET bytes and PAGE values more. What follows a long one is read alone.
local function next_page(page, longest)
  return longest > LONGEST and 1 or math.min(2 * page, PAGE)
end

-- The envelopes of claims of our own, as many of them as may be read at once, at least one, and how many these are.
local function read_records(inflight, ids)
  local envelopes, count, bytes = {}, 0, 0
  repeat
    local page = redis.call('HMGET', inflight, unpack(ids, count + 1, math.min(count + RECORDS, #ids)))
    for position = 1, #page do
      local envelope = page[position]
      envelopes[count + position] = envelope
      bytes = bytes + (envelope and #envelope or 0)
    end
    count = count + #page
  until count == #ids or bytes >= BUDGET
  return count, envelopes
end

-- Goes on through a hash or a sorted set from `cursor`: about 500 elements, or fewer once `visit`, which gets field and
-- value of each, has returned BUDGET bytes in all. Returns the next cursor, 0 when all were seen. One by one, as Redis
-- copies what it finds before its size is known.
local function scan(command, key, cursor, visit)
  local seen, steps, bytes = 0, 0, 0
  repeat
    local page = redis.call(command, key, cursor, 'COUNT', 1)
    cursor, steps = page[1], steps + 1
    for position = 1, #page[2], 2 do
      bytes = bytes + (visit(page[2][position], page[2][position + 1]) or 0)
      seen = seen + 1
    end
  until cursor == '0' or seen >= 500 or steps >= 1000 or bytes >= BUDGET
  return cursor
end

-- A write that changes nothing. Redis over its `maxmemory` refuses a script's commands that need memory, except after
-- the script has written: this is what lets a full Redis be drained, by claims and settlements that need next to none.
local function begin_writing(leases)
  redis.call('ZREM', leases, '')
end
