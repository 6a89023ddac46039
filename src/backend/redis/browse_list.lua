-- Reads the payloads of messages that no worker has claimed yet, from either end, and changes nothing.
--
-- KEYS: list.
-- ARGV: position of the first one, counted from that end (0 to begin with); 1 to begin at the right, where the oldest is.
-- Returns the next position (0 when all were seen), how many messages over 64 KiB are among those seen, then the payloads
-- of the others: 500, or fewer long ones.

local list, position, from_right = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
if #KEYS ~= 1 or not position or #ARGV ~= 2 then
  return redis.error_reply('ERR browse_list: wants a key, a position and an end')
end

local reply, seen, bytes = { '0', 0 }, 0, 0
while seen < 500 and bytes < BUDGET do
  local index = position + seen
  if from_right then index = -1 - index end
  local payload = redis.call('LRANGE', list, index, index)[1]
  if not payload then
    return reply
  end
  if #payload > LONGEST then
    reply[2] = reply[2] + 1
  else
    reply[#reply + 1] = payload
  end
  seen, bytes = seen + 1, bytes + #payload
end
reply[1] = string.format('%d', position + seen)
return reply
