-- Counts the queue at one moment: a message on its way from one place to another is counted once.
--
-- KEYS: list, leases, retries. Returns how many are waiting, leased, and waiting for their retry.

if #KEYS ~= 3 then
  return redis.error_reply('ERR depth: wants three keys')
end
return { redis.call('LLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3]) }
