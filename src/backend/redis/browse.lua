-- Reads the payloads of claimed messages, and changes nothing.
--
-- KEYS: in-flight hash.
-- ARGV: cursor (0 to begin with).
-- Returns the next cursor (0 when all records were seen), how many messages over 64 KiB are among those seen, then the
-- payloads of the others: about 500, or fewer long ones. A record that is there all the while is seen at least once.

local inflight, cursor = KEYS[1], ARGV[1]
if #KEYS ~= 1 or not tonumber(cursor) then
  return redis.error_reply('ERR browse: wants a key and a cursor')
end

local reply = { '0', 0 }
reply[1] = scan('HSCAN', inflight, cursor, function(_, envelope)
  local _, _, payload, length = unseal(envelope)
  if length or #payload > LONGEST then
    reply[2] = reply[2] + 1
  else
    reply[#reply + 1] = payload
  end
  return #envelope
end)
return reply
