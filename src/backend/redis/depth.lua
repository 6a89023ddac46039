-- Counts the queue at one moment: a message on its way from one place to another is counted once.
--
-- KEYS: list, leases, retries. Returns how many are waiting, leased, due again, and waiting for the time of their retry.

if #KEYS ~= 3 then
  return redis.error_reply('ERR depth: wants three keys')
end
-- Finds by halves how many of the retries are due: users with exactly the rights of docs/REDIS.md may not call ZCOUNT.
local now = now_rounded_down(redis.call('TIME'))
local all = redis.call('ZCARD', KEYS[3])
local due, later = 0, all
while due < later do
  local middle = math.floor((due + later) / 2)
  if tonumber(redis.call('ZRANGE', KEYS[3], middle, middle, 'WITHSCORES')[2]) <= now then
    due = middle + 1
  else
    later = middle
  end
end
return { redis.call('LLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), due, all - due }
