/**
 * The ledger's steps as one script that Redis runs whole or not at all. Spend is a counter that each replica keeps in a field of
 * its own: six numbers that only grow (tokens, nano-dollars and requests charged, and the same taken back), so that what any
 * replica still knows can be brought back by taking the larger of each, in whatever order. Holds and leases stand beside it.
 * All keys begin with one hash tag: a cluster keeps them in one slot, as a request may be held to budgets of several holders.
 */
export const ledgerScript = `
local p = KEYS[1]
local order = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000) + order.ahead
-- Who asked has given up waiting: what comes late must not happen behind its back.
if wall > order.before then return {'late'} end
local day = 86400000

local function int(n) return string.format('%.0f', n) end
local function keyOf(kind, name) return p .. kind .. ':' .. name end

-- The clock of this server may jump, and so may the one of who asks: where they differ by minutes, the one that goes on from the
-- time of the order before is believed, and without one the earlier.
local known = order.known or tonumber(redis.call('GET', p .. 'now') or '')
local now = wall
if math.abs(wall - order.clock) > 300000 then
  if not known then now = math.min(wall, order.clock)
  elseif math.abs(order.clock - known) < math.abs(wall - known) then now = order.clock end
end
local touched = {}

local function counts(text)
  local found = {}
  for word in string.gmatch(text or '0 0 0 0 0 0', '%d+') do found[#found + 1] = tonumber(word) end
  return found
end

-- No key of an account expires by itself: a clock that jumps ahead would take the spend away. They go when the account is of the past.
local function keep(account) redis.call('ZADD', p .. 'accounts', int(account.window), account.key) end

-- \`floor\` is a time that no jump has moved.
local function forget()
  local past = int(math.min(now, order.floor) - 40 * day)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', p .. 'accounts', '-inf', '(' .. past, 'LIMIT', 0, 20)) do
    for _, kind in ipairs({'spend', 'held', 'leases', 'marks'}) do redis.call('DEL', keyOf(kind, key)) end
    redis.call('ZREM', p .. 'accounts', key)
  end
end

local function write(account, replica, numbers)
  local key = keyOf('spend', account.key)
  local words = {}
  for i = 1, 6 do words[i] = int(numbers[i]) end
  redis.call('HSET', key, replica, table.concat(words, ' '))
  redis.call('PERSIST', key)
  keep(account)
  touched[account.key] = account.window
end

-- Charges, or takes back where the amounts are negative.
local function add(account, tokens, nano, requests)
  local numbers = counts(redis.call('HGET', keyOf('spend', account.key), order.me))
  for i, amount in ipairs({tokens, nano, requests}) do
    if amount >= 0 then numbers[i] = numbers[i] + amount else numbers[i + 3] = numbers[i + 3] - amount end
  end
  write(account, order.me, numbers)
end

local function spentOf(account)
  local sum = {0, 0, 0}
  for _, text in ipairs(redis.call('HVALS', keyOf('spend', account.key))) do
    local numbers = counts(text)
    for i = 1, 3 do sum[i] = sum[i] + numbers[i] - numbers[i + 3] end
  end
  for i = 1, 3 do sum[i] = math.max(0, sum[i]) end
  return sum
end

-- Beside the holds of an account stand their sums, so that a balance does not cost more the more is running.
local function enlist(account, id, text)
  local key = keyOf('held', account.key)
  local before, after = counts(redis.call('HGET', key, id) or '0 0 0 0'), counts(text or '0 0 0 0')
  for i, name in ipairs({'=tokens', '=nano', '=tails', '=holds'}) do
    if before[i] ~= after[i] then redis.call('HINCRBY', key, name, int(after[i] - before[i])) end
  end
  if text then redis.call('HSET', key, id, text) else redis.call('HDEL', key, id) end
  redis.call('PERSIST', key)
  keep(account)
end

local function balanceOf(account)
  local sums = redis.call('HMGET', keyOf('held', account.key), '=tokens', '=nano', '=tails', '=holds')
  for i = 1, 4 do sums[i] = tonumber(sums[i] or '0') end
  return {spent = spentOf(account), held = {sums[1], sums[2]}, tail = sums[3] > 0, holds = sums[4]}
end

-- What other replicas may spend while they are cut off. One that is over is taken out.
local function leasedOf(account)
  local sum = {0, 0}
  local entries = redis.call('HGETALL', keyOf('leases', account.key))
  for i = 1, #entries, 2 do
    local numbers = counts(entries[i + 1])
    if numbers[3] < now then
      redis.call('HDEL', keyOf('leases', account.key), entries[i])
    elseif entries[i] ~= order.me then
      sum[1] = sum[1] + numbers[1]
      sum[2] = sum[2] + numbers[2]
    end
  end
  return sum
end

local function holdOf(id)
  local fields = redis.call('HGETALL', keyOf('hold', id))
  if #fields == 0 then return nil end
  local raw = {}
  for i = 1, #fields, 2 do raw[fields[i]] = fields[i + 1] end
  local hold = {deadline = tonumber(raw.deadline), charged = raw.charged == '1', tail = raw.tail == '1', claims = {}}
  for i = 1, tonumber(raw.count) do
    hold.claims[i] = {
      account = {key = raw['key' .. i], window = tonumber(raw['window' .. i])},
      tokens = tonumber(raw['tokens' .. i]), nano = tonumber(raw['nano' .. i])
    }
  end
  return hold
end

local function enter(id, claims, tail, deadline)
  local key = keyOf('hold', id)
  local mark = tail and '1' or '0'
  redis.call('HSET', key, 'deadline', int(deadline), 'charged', '0', 'tail', mark, 'count', #claims)
  for i, claim in ipairs(claims) do
    redis.call('HSET', key, 'key' .. i, claim.account.key, 'window' .. i, int(claim.account.window),
      'tokens' .. i, int(claim.tokens), 'nano' .. i, int(claim.nano))
    enlist(claim.account, id, int(claim.tokens) .. ' ' .. int(claim.nano) .. ' ' .. mark .. ' 1')
  end
  redis.call('ZADD', p .. 'deadlines', int(deadline), id)
end

local function leave(id, left)
  for _, claim in ipairs(left.claims) do enlist(claim.account, id, nil) end
  redis.call('ZREM', p .. 'deadlines', id)
  redis.call('DEL', keyOf('hold', id))
end

-- Holds past their deadline become charges. They stay for a while, so that a late settlement can correct them.
local function expire()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'deadlines', '-inf', '(' .. int(now), 'LIMIT', 0, 1000)) do
    local over = holdOf(id)
    if over and not over.charged then
      for _, claim in ipairs(over.claims) do
        add(claim.account, claim.tokens, claim.nano, 1)
        enlist(claim.account, id, nil)
      end
      redis.call('HSET', keyOf('hold', id), 'charged', '1')
      redis.call('PEXPIRE', keyOf('hold', id), int(2 * day))
    end
    redis.call('ZREM', p .. 'deadlines', id)
  end
end

local function refund(hold)
  if not hold.charged then return end
  for _, claim in ipairs(hold.claims) do add(claim.account, -claim.tokens, -claim.nano, -1) end
end

local function shown(balance)
  local words = {balance.spent[1], balance.spent[2], balance.held[1], balance.held[2], balance.spent[3]}
  for i = 1, #words do words[i] = int(words[i]) end
  return words
end

-- What one claim meets on its account: alone, it is given what is left; beside others, it waits for its room.
local function judge(claim, position)
  local balance = balanceOf(claim.account)
  local leased = leasedOf(claim.account)
  local granted = {claim.hold.tokens, claim.hold.nano}
  local least = {claim.least.tokens, claim.least.nano}
  local limits = {claim.limit.tokens, claim.limit.nano}
  local tail, short = false, false
  for i, measure in ipairs({'tokens', 'usd'}) do
    local limit = limits[i]
    if limit then
      local left = limit - balance.spent[i]
      if left <= 0 or (left < granted[i] and left < least[i]) then
        return {kind = 'exhausted', position = position, measure = measure, balance = balance}
      end
      local room = left - leased[i]
      if balance.held[i] + granted[i] > room then
        tail = true
        short = short or room <= 0 or (room < granted[i] and room < least[i])
        granted[i] = math.min(granted[i], room)
      end
    end
  end
  if short or (balance.holds > 0 and (tail or balance.tail)) then return {kind = 'busy', position = position} end
  return {kind = 'fits', tail = tail, tokens = granted[1], nano = granted[2], account = claim.account}
end

local function heldAnswer(tail, claims)
  local answer = {'held', tail and '1' or '0'}
  for _, claim in ipairs(claims) do
    answer[#answer + 1] = int(claim.tokens)
    answer[#answer + 1] = int(claim.nano)
  end
  return answer
end

local verbs = {}

function verbs.reserve()
  local before = holdOf(order.id)
  if before then return heldAnswer(before.tail, before.claims) end
  local judged, busy, tail = {}, nil, false
  for i, claim in ipairs(order.claims) do
    local each = judge(claim, i)
    if each.kind == 'exhausted' then return {'exhausted', i, each.measure, shown(each.balance)} end
    if each.kind == 'busy' then busy = busy or each end
    tail = tail or each.tail
    judged[i] = each
  end
  if busy then return {'busy', busy.position} end
  enter(order.id, judged, tail, order.deadline)
  return heldAnswer(tail, judged)
end

function verbs.extend()
  for _, id in ipairs(order.ids) do
    local hold = holdOf(id)
    if hold and not hold.charged and order.deadline > hold.deadline then
      redis.call('HSET', keyOf('hold', id), 'deadline', int(order.deadline))
      redis.call('ZADD', p .. 'deadlines', int(order.deadline), id)
    end
  end
  return {}
end

-- A hold becomes smaller, and no tail any more. What has become a charge is refunded as much.
function verbs.shrink()
  local hold = holdOf(order.id)
  if not hold then return {} end
  local key = keyOf('hold', order.id)
  for i, claim in ipairs(hold.claims) do
    local most = order.holds[i] or claim
    local tokens, nano = math.min(claim.tokens, most.tokens), math.min(claim.nano, most.nano)
    redis.call('HSET', key, 'tokens' .. i, int(tokens), 'nano' .. i, int(nano), 'tail', '0')
    if hold.charged then
      add(claim.account, tokens - claim.tokens, nano - claim.nano, 0)
    else
      enlist(claim.account, order.id, int(tokens) .. ' ' .. int(nano) .. ' 0 1')
    end
  end
  return {}
end

function verbs.settle()
  -- Whoever tells it again reads what it came to.
  for _, account in ipairs(order.accounts) do touched[account.key] = account.window end
  if redis.call('SET', keyOf('settled', order.id), '1', 'NX', 'PX', int(2 * day)) == false then return {} end
  local hold = holdOf(order.id)
  if hold then
    refund(hold)
    leave(order.id, hold)
  end
  for i, account in ipairs(order.accounts) do
    local amount = order.amounts[i] or {tokens = 0, nano = 0}
    add(account, amount.tokens, amount.nano, order.requests)
  end
  return {}
end

function verbs.release()
  local hold = holdOf(order.id)
  if hold then
    refund(hold)
    leave(order.id, hold)
  end
  return {}
end

function verbs.balances()
  local rows = {}
  for i, account in ipairs(order.accounts) do
    rows[i] = shown(balanceOf(account))
    touched[account.key] = account.window
  end
  return rows
end

function verbs.set()
  local account = order.accounts[1]
  local spent = spentOf(account)
  add(account, order.spent.tokens - spent[1], 0, 0)
  add(account, 0, order.spent.nano - spent[2], 0)
  return {}
end

function verbs.mark()
  local key = keyOf('marks', order.accounts[1].key)
  local taken = redis.call('SADD', key, order.mark)
  keep(order.accounts[1])
  return {taken}
end

function verbs.accounts()
  local rows = {}
  for i, key in ipairs(redis.call('ZRANGEBYSCORE', p .. 'accounts', int(order.since), '+inf')) do
    rows[i] = {key, shown(balanceOf({key = key}))}
  end
  return rows
end

function verbs.learn()
  for _, lesson in ipairs(order.lessons) do
    redis.call('HSET', p .. 'lessons', lesson.name, lesson.text)
    redis.call('ZADD', p .. 'lessons:at', int(now), lesson.name)
  end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', p .. 'lessons:at', '-inf', '(' .. int(now - 40 * day))) do
    redis.call('HDEL', p .. 'lessons', name)
    redis.call('ZREM', p .. 'lessons:at', name)
  end
  return {}
end

function verbs.lessons() return redis.call('HGETALL', p .. 'lessons') end

-- A share for a replica that may be cut off: given only while there is plenty, so that it is in nobody's way at the end.
function verbs.lease()
  forget()
  local given = {}
  for i, lease in ipairs(order.leases) do
    local account = lease.account
    local key = keyOf('leases', account.key)
    local balance, leased = balanceOf(account), leasedOf(account)
    local fits = true
    for j, limit in pairs({lease.limit.tokens or false, lease.limit.nano or false}) do
      local size = j == 1 and lease.size.tokens or lease.size.nano
      if limit and limit - balance.spent[j] - balance.held[j] - leased[j] < order.plenty * size then fits = false end
    end
    if fits then
      redis.call('HSET', key, order.me, int(lease.size.tokens) .. ' ' .. int(lease.size.nano) .. ' ' .. int(order.deadline))
      keep(account)
    else
      redis.call('HDEL', key, order.me)
    end
    given[i] = fits and 1 or 0
  end
  return given
end

-- What a replica knows and this server may have lost: the larger of each number counts.
function verbs.bring()
  for _, known in ipairs(order.spends) do
    for replica, numbers in pairs(known.counts) do
      local here = counts(redis.call('HGET', keyOf('spend', known.account.key), replica))
      for i = 1, 6 do here[i] = math.max(here[i], numbers[i]) end
      write(known.account, replica, here)
    end
    touched[known.account.key] = known.account.window
  end
  for _, id in ipairs(order.settled) do
    redis.call('SET', keyOf('settled', id), '1', 'PX', int(2 * day))
    local hold = holdOf(id)
    if hold then leave(id, hold) end
  end
  for _, hold in ipairs(order.holds) do
    if redis.call('EXISTS', keyOf('hold', hold.id), keyOf('settled', hold.id)) == 0 then
      enter(hold.id, hold.claims, hold.tail, hold.deadline)
    end
  end
  return {}
end

-- Another life of this server, or one in which our own numbers are less than we know: bring them back first.
if order.verb ~= 'bring' then
  if redis.call('GET', p .. 'era') ~= order.era then return {'lost'} end
  for _, floor in ipairs(order.floors) do
    local here = counts(redis.call('HGET', keyOf('spend', floor.key), order.me))
    for i = 1, 6 do
      if here[i] < floor.counts[i] then return {'lost'} end
    end
  end
end
redis.call('SET', p .. 'now', int(now))
expire()
local result = verbs[order.verb]()
local views = {}
for key, window in pairs(touched) do
  views[#views + 1] = {key, int(window), redis.call('HGETALL', keyOf('spend', key))}
end
return {'ok', int(now), result, views}
`
