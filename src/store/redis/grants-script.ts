/**
 * What is done to one grant, as one script. The row is a hash; what is secret in it was sealed before it came here. Each write
 * checks the generation that the writer has seen, and gives the row as it is then.
 */
export const grantsScript = `
local p = KEYS[1]
local order = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000) + order.ahead
-- Who asked has given up waiting: a mark that is set behind its back would be nobody's.
if wall > order.before then return {'late'} end
local changes = p .. 'changes'
if order.verb == 'changes' then
  if redis.call('GET', p .. 'era') ~= order.era then return {'lost'} end
  return {'ok', redis.call('GET', changes) or '0'}
end

local key = p .. 'grant:' .. order.credential
local row = {}
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do row[fields[i]] = fields[i + 1] end
local generation = row.generation or ''

-- Another life of this server, or one that has an older generation than we know: bring that back first.
if order.verb ~= 'bring' then
  if redis.call('GET', p .. 'era') ~= order.era then return {'lost'} end
  if (tonumber(generation) or 0) < order.known then return {'lost'} end
end

local function put(fields)
  for i = 1, #fields, 2 do redis.call('HSET', key, fields[i], fields[i + 1]) end
  return true
end

local verbs = {}

function verbs.read() return false end

function verbs.begin()
  if generation ~= order.generation or row.in_flight_since or row.needs_login then return false end
  return put({'in_flight_since', order.now, 'written_at', order.now})
end

function verbs.takeOver()
  if generation ~= order.generation or row.in_flight_since ~= order.since or order.since == order.now then return false end
  return put({'in_flight_since', order.now, 'written_at', order.now})
end

function verbs.commit()
  if generation ~= order.generation then return false end
  redis.call('HDEL', key, 'in_flight_since')
  return put({'generation', order.next, 'previous', row.pair, 'pair', order.pair, 'written_at', order.now})
end

function verbs.release()
  if generation ~= order.generation or not row.in_flight_since then return false end
  redis.call('HDEL', key, 'in_flight_since')
  return put({'written_at', order.now})
end

function verbs.fail()
  if generation ~= order.generation or row.needs_login then return false end
  redis.call('HDEL', key, 'in_flight_since')
  return put({'needs_login', order.reason, 'written_at', order.now})
end

function verbs.enter()
  if generation ~= order.generation then return false end
  if order.seed then
    if row.seed == order.seed then return false end
    put({'seed', order.seed})
  end
  if row.pair then put({'previous', row.pair}) end
  redis.call('HDEL', key, 'in_flight_since', 'needs_login')
  return put({'generation', order.next, 'pair', order.pair, 'written_at', order.now})
end

-- The newer generation counts; of the same one, the mark of a call that is under way.
function verbs.bring()
  local here = tonumber(generation) or 0
  local theirs = tonumber(order.row.generation)
  if here > theirs then return false end
  if here == theirs then
    if row.in_flight_since or not order.ours then return false end
    return put({'in_flight_since', order.row.in_flight_since})
  end
  redis.call('DEL', key)
  for name, value in pairs(order.row) do redis.call('HSET', key, name, value) end
  return true
end

local done = verbs[order.verb]()
if done then redis.call('INCR', changes) end
return {'ok', done and 1 or 0, redis.call('HGETALL', key)}
`
