-- walk.lua - walks everything that Redis keeps of a job and says "ok" or what does not fit:
-- counters equal the states of the tasks, leases are unique, queues hold each task at most once and
-- only ready ones, and what is due is leased or waiting.
local prefix = string.sub(KEYS[1], 1, -4)
local CHUNK, FIN = 64, 25
local packed = redis.call('HGET', KEYS[1], 'n')
if not packed then return 'no job' end
local NUMBERS = { -- numbers_list of the library
    'state', 'paused', 'priority', 'submitted', 'started', 'ended', 'version', 'total', 'next',
    'leased', 'waiting', 'done', 'dead', 'cancelled', 'items_total', 'items', 'items_ok', 'bytes',
    'plans', 'plans_dead',
}
local job = {}
for i, value in ipairs(cmsgpack.unpack(packed)) do job[NUMBERS[i] or i] = value end
local stopped = job.state == 7 or job.state == 8

local wrong
local function expect(truth, text)
    if not truth and not wrong then wrong = text end
end

local live, leases, count = {}, {}, { 0, 0, 0, 0, 0, 0 }
local flat = redis.call('HGETALL', prefix .. 'live')
for i = 1, #flat, 2 do
    local index, r = tonumber(flat[i]), cmsgpack.unpack(flat[i + 1])
    local rec = { s = r[1], l = r[6], lease = r[8] ~= '' and r[8] } -- rec_pack of the library
    live[index] = rec
    expect(redis.call('ZSCORE', prefix .. 'order', index), 'live but not in order: ' .. index)
    if rec.s == 2 then
        expect(rec.lease and not leases[rec.lease], 'a lease twice or none: ' .. index)
        leases[rec.lease] = true
    end
end
expect(redis.call('ZCARD', prefix .. 'order') == #flat / 2, 'order and live differ')

local plans, plans_dead, left = 0, 0, {}
for index = 0, job.total - 1 do
    local chunk, inside = math.floor(index / CHUNK), index % CHUNK
    local fin = redis.call('GETRANGE', prefix .. 'fin:' .. chunk, inside * FIN, inside * FIN)
    local finished = fin ~= '' and string.byte(fin) ~= 0
    local rec = live[index]
    local state = finished and 4 or rec and rec.s or 1
    if stopped and (state == 1 or state == 3) then state = 6 end
    expect(not (finished and rec), 'done and live: ' .. index)
    expect(not (finished or rec) or index < job.next, 'taken but beyond next: ' .. index)
    expect(finished or rec or index >= job.next, 'taken but forgotten: ' .. index)
    count[state] = count[state] + 1
    local packed = redis.call('HGET', prefix .. 'payload', chunk)
    local have = struct.unpack('<I2', packed)
    local from = inside == 0 and 0 or struct.unpack('<I4', packed, 3 + 4 * (inside - 1))
    local phase = string.byte(packed, 2 + 4 * have + from + 1)
    if not finished then left[chunk] = (left[chunk] or 0) + 1 end
    if phase == 1 and not finished then
        plans = plans + 1
        if rec and rec.s == 5 then plans_dead = plans_dead + 1 end
    end
end
local ready = job.total - job.leased - job.waiting - job.done - job.dead - job.cancelled
expect(count[1] == ready, 'ready ' .. count[1] .. ' counted as ' .. ready)
expect(count[2] == job.leased, 'leased ' .. count[2] .. ' counted as ' .. job.leased)
expect(count[3] == job.waiting, 'waiting ' .. count[3] .. ' counted as ' .. job.waiting)
expect(count[4] == job.done, 'done ' .. count[4] .. ' counted as ' .. job.done)
expect(count[5] == job.dead, 'dead ' .. count[5] .. ' counted as ' .. job.dead)
expect(count[6] == job.cancelled, 'cancelled ' .. count[6] .. ' counted as ' .. job.cancelled)
expect(plans == job.plans, 'plans ' .. plans .. ' counted as ' .. job.plans)
expect(plans_dead == job.plans_dead, 'dead plans counted as ' .. job.plans_dead)
flat = redis.call('HGETALL', prefix .. 'left')
for i = 1, #flat, 2 do
    local chunk = tonumber(flat[i])
    expect(left[chunk] == tonumber(flat[i + 1]), 'left of chunk ' .. chunk)
    left[chunk] = nil
end
expect(next(left) == nil, 'a chunk has no left')

local queued = {}
for _, list in ipairs({ 'again', 'alone' }) do
    for _, member in ipairs(redis.call('LRANGE', prefix .. list, 0, -1)) do
        local index = tonumber(member)
        expect(not queued[index], 'queued twice: ' .. index)
        expect(live[index] and live[index].s == 1, 'queued but not ready: ' .. index)
        expect((list == 'alone') == (live[index].l >= 2), 'in the wrong queue: ' .. index)
        queued[index] = true
    end
end
local due = {}
for _, member in ipairs(redis.call('ZRANGE', prefix .. 'due', 0, -1)) do
    local index = tonumber(member)
    due[index] = true
    expect(live[index] and (live[index].s == 2 or live[index].s == 3), 'due but idle: ' .. index)
end
for index, rec in pairs(live) do
    expect(rec.s ~= 1 or stopped or queued[index], 'ready but in no queue: ' .. index)
    expect(rec.s ~= 2 or due[index], 'leased without deadline: ' .. index)
    expect(rec.s ~= 3 or stopped or due[index], 'waiting without end: ' .. index)
end
if job.state == 5 then expect(job.dead == 0 and job.done == job.total, 'done but not all tasks') end
if job.state == 5 or job.state == 6 or job.state == 8 then
    expect(job.leased == 0 and job.ended > 0, 'ended but running')
end
return wrong or 'ok'
