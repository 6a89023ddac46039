-- Finds leases or retries without a record, and removes them if asked to. They deliver nothing, and count as messages.
--
-- KEYS: in-flight hash, leases or retries.
-- ARGV: cursor (0 to begin with), 1 to remove what is found, 0 to look only.
-- Returns the next cursor (0 when all were seen) and how many were found. Looks at about 500.

local inflight, schedule = KEYS[1], KEYS[2]
local cursor, remove = ARGV[1], ARGV[2]
if #KEYS ~= 2 or not tonumber(cursor) or not tonumber(remove) then
  return redis.error_reply('ERR prune: wants two keys, a cursor and 1 or 0')
end

local page = redis.call('ZSCAN', schedule, cursor, 'COUNT', 500)
redis.call('HLEN', inflight)
local found = 0
for position = 1, #page[2], 2 do
  local id = page[2][position]
  if redis.call('HEXISTS', inflight, id) == 0 then
    found = found + 1
    if remove == '1' then
      redis.call('ZREM', schedule, id)
    end
  end
end
return { page[1], found }
