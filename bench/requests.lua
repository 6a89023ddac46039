-- The requests of the worker's HTTP fulfiller, for wrk: the same headers and body, each key once.
local order, thread_number = 0, 0

function setup(thread)
  thread_number = thread_number + 1
  thread:set("first", thread_number * 100000000)
end

function request()
  order = order + 1
  local id = first + order
  local key = "order-" .. id .. "-1763942400000000"
  local body = string.format(
    '{"order_id":%d,"product_id":1,"product":"WHITE METAL LANTERN","quantity":6,' ..
    '"created_at":"2025-11-24T00:00:00.000000","correlation_id":null,"attempt":1}', id)
  local headers = {
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = key,
    ["Accept"] = "*/*",
    ["Accept-Encoding"] = "gzip",
    ["User-Agent"] = "fulfillment-worker/0.1.0",
  }
  return wrk.format("POST", "/shipments", headers, body)
end
