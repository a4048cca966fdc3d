/**
 * What is done to the facts about runs, as one script. A row is `seq until sealed` under its name; the larger seq of a name stays.
 * Each change has a version, so that replicas read only what is new to them, and each replica says up to which one it has taken
 * everything in: whoever writes can wait for those who live.
 */
export const runsScript = `
local p = KEYS[1]
local order = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000) + order.ahead
-- Who asked has given up waiting: a run that is made behind its back would be nobody's.
if wall > order.before then return {'late'} end
local rows, versions, ends, seen, last = p .. 'runs', p .. 'runs:versions', p .. 'runs:ends', p .. 'runs:seen', p .. 'runs:version'
local alive, dead, kept = 2000, 60000, 45 * 86400000

local function int(n) return string.format('%.0f', n) end

local version = tonumber(redis.call('GET', last) or '0')
-- Another life of this server, or one that has forgotten changes that we know: tell it first.
if order.verb ~= 'bring' and (redis.call('GET', p .. 'era') ~= order.era or version < order.known) then return {'lost'} end

local changed = false

local function put(row)
  local before = tonumber(string.match(redis.call('HGET', rows, row.name) or '0', '^%d+'))
  local seq = row.seq
  if row.last then seq = math.max(seq, before + 1) end
  if seq <= before then return end
  -- The clock is in it, so that a server that was emptied gives no version twice.
  version = math.max(version + 1, wall)
  redis.call('HSET', rows, row.name, int(seq) .. ' ' .. int(row['until']) .. ' ' .. row.sealed)
  redis.call('ZADD', versions, int(version), row.name)
  redis.call('ZADD', ends, int(row['until']), row.name)
  changed = true
end

local function forget()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', int(wall), 'LIMIT', 0, 100)) do
    redis.call('HDEL', rows, name)
    redis.call('ZREM', versions, name)
    redis.call('ZREM', ends, name)
  end
end

local function others()
  local found = {}
  local entries = redis.call('HGETALL', seen)
  for i = 1, #entries, 2 do
    local upTo, at = string.match(entries[i + 1], '^(%d+) (%d+)$')
    local age = wall - tonumber(at)
    if age > dead then redis.call('HDEL', seen, entries[i])
    elseif age <= alive and entries[i] ~= order.me then found[#found + 1] = upTo end
  end
  return found
end

local verbs = {}

-- Several rows from whoever knows them, each as it is.
function verbs.bring()
  for _, row in ipairs(order.rows) do put(row) end
  return {}
end

-- One row, and what is under its name then.
function verbs.put()
  forget()
  put(order.row)
  return {redis.call('HGET', rows, order.row.name)}
end

function verbs.look()
  redis.call('HSET', seen, order.me, int(order.seen) .. ' ' .. int(wall))
  local found = {}
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', versions, '(' .. int(order.known), '+inf')) do
    found[#found + 1] = {name, redis.call('HGET', rows, name)}
  end
  return {found, others()}
end

function verbs.leave()
  redis.call('HDEL', seen, order.me)
  return {}
end

local result = verbs[order.verb]()
if changed then redis.call('SET', last, int(version)) end
for _, key in ipairs({rows, versions, ends, seen, last}) do redis.call('PEXPIRE', key, int(kept)) end
-- A user that may not use channels is no reason to refuse: everybody looks again by himself.
if changed then redis.pcall('PUBLISH', p .. 'runs:news', int(version)) end
return {'ok', int(version), unpack(result)}
`
