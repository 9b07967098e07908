-- Posts the bodies in DIR/1 ... DIR/N in turn; prints the outcome as one line of JSON.
-- Arguments after --: DIR N CONTENT-TYPE

local requests, turn = {}, 0

function init(args)
  local headers = { ["Content-Type"] = args[3] }
  for i = 1, tonumber(args[2]) do
    local file = assert(io.open(args[1] .. "/" .. i, "rb"))
    requests[i] = wrk.format("POST", wrk.path, headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"seconds":%f,"requests":%d,"accepted":%d,"errors":%d,"P50":%f,"P99":%f}\n',
    summary.duration / 1e6, summary.requests, summary.requests - e.status,
    e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
