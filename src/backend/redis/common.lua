-- Shared beginning of every script that touches claimed messages.
--
-- A record in the in-flight hash is its envelope: how often the message was claimed, a space, the token of the latest
-- claim, a line feed, then the producer's bytes untouched.

-- Milliseconds since 1970 by the server's clock, rounded up so that "not before" holds to the millisecond.
local function now_rounded_up(time)
  return time[1] * 1000 + math.ceil(time[2] / 1000)
end

local function now_rounded_down(time)
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function seal(attempts, token, payload)
  return string.format('%d %s\n', attempts, token) .. payload
end

-- Attempts, token and payload. A record that is no envelope was written by somebody else: it is treated as a payload
-- that nobody has claimed, as losing it would be worse.
local function unseal(envelope)
  local attempts, token, start = string.match(envelope, '^(%d+) (%S+)\n()')
  if not attempts then
    return 0, '', envelope
  end
  return tonumber(attempts), token, string.sub(envelope, start)
end

-- The token alone, without a copy of the payload.
local function token_of(envelope)
  return string.match(envelope, '^%d+ (%S+)\n')
end

-- A write that changes nothing. Redis over its `maxmemory` refuses a script's commands that need memory, except after
-- the script has written: this is what lets a full Redis be drained, by claims and settlements that need next to none.
local function begin_writing(leases)
  redis.call('ZREM', leases, '')
end
