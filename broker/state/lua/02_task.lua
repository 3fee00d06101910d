-- 02_task.lua - where tasks are kept.
--
-- What a task is (phase, name, payload) stands in a chunk of TASK_CHUNK tasks, packed into one
-- field: u16 count, count times u32 end offset, then the entries; an entry is a phase byte, a byte
-- with the name's length, the name, the payload. Where a task stands:
--   index >= job.next, no record    ready, never taken (cancelled in a cancelled job)
--   a record in `live`              leased, waiting, ready again, dead or cancelled
--   a record in `fin:<chunk>`       done
-- Records are read once, changed as tables, and written together by tasks_save, as are deadlines
-- and the rest of what every attempt changes: many calls then cost little more than one.

local FIN_FORMAT = '<BI2BBI4c16' -- state, attempts, failures, losses, lease prefix, digest prefix
local FIN_BYTES = 25
local COUNT_EXACT = 2 ^ 52

local function chunk_of(index)
    return math.floor(index / TASK_CHUNK), index % TASK_CHUNK
end

local function chunk_append(old, entries, first, count)
    local have, ends, body, size = 0, '', '', 0
    if old then
        have = struct.unpack('<I2', old)
        ends = string.sub(old, 3, 2 + 4 * have)
        body = string.sub(old, 3 + 4 * have)
        size = #body
    end
    local new_ends, new_body = {}, {}
    for i = 1, count do
        local entry = entries[first + i - 1]
        size = size + #entry
        new_ends[i] = struct.pack('<I4', size)
        new_body[i] = entry
    end
    return struct.pack('<I2', have + count) .. ends .. table.concat(new_ends) .. body ..
        table.concat(new_body)
end

local function chunk_entry(chunk, inside)
    local have = struct.unpack('<I2', chunk)
    local from = inside == 0 and 0 or struct.unpack('<I4', chunk, 3 + 4 * (inside - 1))
    local to = struct.unpack('<I4', chunk, 3 + 4 * inside)
    local body = 2 + 4 * have
    return string.sub(chunk, body + from + 1, body + to)
end

-- The chunk with phases and names only: all its tasks are done, nobody asks for payloads again.
local function chunk_strip(chunk)
    local entries = {}
    local have = struct.unpack('<I2', chunk)
    for inside = 0, have - 1 do
        local entry = chunk_entry(chunk, inside)
        entries[inside + 1] = string.sub(entry, 1, 2 + string.byte(entry, 2))
    end
    return chunk_append(nil, entries, 1, have)
end

-- phase, name, payload. cache holds the last chunk across calls.
local function task_entry(job, index, cache)
    local chunk, inside = chunk_of(index)
    if cache.chunk ~= chunk then
        cache.chunk = chunk
        cache.data = call('HGET', key(job, 'payload'), digits(chunk))
    end
    local entry = chunk_entry(cache.data, inside)
    local name_bytes = string.byte(entry, 2)
    return string.byte(entry, 1), string.sub(entry, 3, 2 + name_bytes),
        string.sub(entry, 3 + name_bytes)
end

-- Appends entries[first..]; the caller has checked that they fit.
local function tasks_append(job, entries, first)
    while first <= #entries do
        local chunk, inside = chunk_of(job.total)
        local count = math.min(TASK_CHUNK - inside, #entries - first + 1)
        local name = digits(chunk)
        local old = inside > 0 and call('HGET', key(job, 'payload'), name) or nil
        call('HSET', key(job, 'payload'), name, chunk_append(old, entries, first, count))
        call('HINCRBY', key(job, 'left'), name, digits(count))
        for i = first, first + count - 1 do
            if string.byte(entries[i], 1) == PHASE.PLAN then job.plans = job.plans + 1 end
        end
        job.total = job.total + count
        first = first + count
    end
end

local function rec_new(phase, name)
    return {
        TASK.READY, phase, name, 0, 0, 0, 0, '', '', false, 0, 0, 0, 0, '', 0, '', '', '', false,
        false,
    }
end

-- Records of tasks that are about to be asked for, all at once.
local function live_read(job, names)
    if #names < 2 then return end
    local found = call('HMGET', key(job, 'live'), unpack(names))
    for i = 1, #names do
        job.recs[tonumber(names[i])] = found[i] and cmsgpack.unpack(found[i]) or false
    end
end

-- The record of a task, or nil. What is changed in it is kept by live_put.
local function live_get(job, index)
    local rec = job.recs[index]
    if rec == nil then
        local packed = call('HGET', key(job, 'live'), digits(index))
        rec = packed and cmsgpack.unpack(packed) or false
        job.recs[index] = rec
    end
    return rec or nil
end

local function live_put(job, index, rec)
    job.recs[index] = rec
    job.changed[index] = true
end

local function live_new(job, index, phase, name)
    job.fresh[index] = true
    return rec_new(phase, name)
end

-- The task is done: no record any more, nor a deadline.
local function live_drop(job, index)
    job.recs[index] = false
    job.changed[index] = true
    job.due[index] = false
end

local function due_set(job, index, at)
    job.due[index] = at
end

local function due_drop(job, index)
    job.due[index] = false
end

-- Where the next attempt could go on.
local function cursor_put(job, index, rec, cursor)
    rec[R_CURSOR] = true
    call('HSET', key(job, 'cursor'), digits(index), cursor)
end

-- The record of a task whose lease is this one, or nil and what is there instead.
local function live_held(job, index, lease)
    local rec = live_get(job, index)
    if rec and rec[R_STATE] == TASK.LEASED and rec[R_LEASE] == lease then return rec end
    return nil, rec
end

local function lease_prefix(lease)
    return tonumber(string.sub(lease, 1, 8), 16) or 0
end

-- What is kept of a done task, or nil.
local function fin_get(job, index)
    local chunk, inside = chunk_of(index)
    local fins = job.fins[chunk]
    local packed = fins and fins[inside] or call('GETRANGE',
        key(job, 'fin:' .. digits(chunk)), inside * FIN_BYTES, (inside + 1) * FIN_BYTES - 1)
    if #packed < FIN_BYTES then return nil end
    local state, attempts, failures, losses, lease, digest = struct.unpack(FIN_FORMAT, packed)
    if state == 0 then return nil end
    return { s = state, a = attempts, f = failures, l = losses, lease = lease, digest = digest }
end

local function fin_put(job, index, rec, digest)
    local chunk, inside = chunk_of(index)
    local fins = job.fins[chunk]
    if not fins then
        fins = {}
        job.fins[chunk] = fins
    end
    fins[inside] = struct.pack(FIN_FORMAT, TASK.DONE, math.min(rec[R_ATTEMPTS], 65535),
        math.min(rec[R_FAILURES], 255), math.min(rec[R_LOSSES], 255), lease_prefix(rec[R_LEASE]),
        string.sub(digest, 1, 16))
    job.left[chunk] = (job.left[chunk] or 0) + 1
end

-- Records that lie side by side are written at once. The string is made at its full length at once:
-- growing it would double its memory.
local function fins_save(job, chunk, fins)
    local name = key(job, 'fin:' .. digits(chunk))
    if call('EXISTS', name) == 0 then
        local rows = math.min(TASK_CHUNK, job.total - chunk * TASK_CHUNK)
        call('SET', name, string.rep('\0', rows * FIN_BYTES))
    end
    local places = {}
    for inside in pairs(fins) do places[#places + 1] = inside end
    table.sort(places)
    local first = 1
    while first <= #places do
        local last, run = first, { fins[places[first]] }
        while places[last + 1] == places[last] + 1 do
            last = last + 1
            run[#run + 1] = fins[places[last]]
        end
        call('SETRANGE', name, digits(places[first] * FIN_BYTES), table.concat(run))
        first = last + 1
    end
end

-- Tasks of a chunk are done: its payloads shrink to names when they were the last.
local function left_save(job, chunk, done)
    local name = digits(chunk)
    if call('HINCRBY', key(job, 'left'), name, digits(-done)) > 0 then return end
    local packed = call('HGET', key(job, 'payload'), name)
    call('HSET', key(job, 'payload'), name, chunk_strip(packed))
    call('HDEL', key(job, 'left'), name)
end

-- One command for all of a list; Lua's stack bounds how many fit into one.
local function call_all(command, name, list)
    local step = 4000
    for from = 1, #list, step do
        call(command, name, unpack(list, from, math.min(from + step - 1, #list)))
    end
end

local function due_save(job)
    local set, drop = {}, {}
    for index, at in pairs(job.due) do
        if at then
            set[#set + 1] = digits(at)
            set[#set + 1] = digits(index)
        else
            drop[#drop + 1] = digits(index)
        end
    end
    job.due = {}
    call_all('ZADD', key(job, 'due'), set)
    call_all('ZREM', key(job, 'due'), drop)
end

local function live_save(job)
    local set, drop, order = {}, {}, {}
    for index in pairs(job.changed) do
        local name, rec = digits(index), job.recs[index]
        if rec then
            set[#set + 1] = name
            set[#set + 1] = cmsgpack.pack(rec)
        else
            drop[#drop + 1] = name
        end
        if rec and job.fresh[index] then
            order[#order + 1] = name
            order[#order + 1] = name
        end
    end
    call_all('HSET', key(job, 'live'), set)
    call_all('ZADD', key(job, 'order'), order)
    call_all('HDEL', key(job, 'live'), drop)
    call_all('ZREM', key(job, 'order'), drop)
end

-- The names that the job has counters for.
local function counts_known(job)
    if not job.counters then
        job.counters = 0
        for _, name in ipairs(call('HKEYS', key(job, 'count'))) do
            job.known[name] = true
            job.counters = job.counters + 1
        end
    end
    return job.known
end

-- Lua would round large values; Redis adds them up exactly. A sum that leaves 64 bits stays where
-- it is.
local function counts_add(job, name, value)
    local known, number = counts_known(job), tonumber(value)
    if not known[name] then
        known[name] = true
        job.counters = job.counters + 1
    end
    local sum = (job.counts[name] or 0) + number
    if math.abs(number) > COUNT_EXACT or math.abs(sum) > COUNT_EXACT then
        redis.pcall('HINCRBY', key(job, 'count'), name, value)
    else
        job.counts[name] = sum
    end
end

-- Writes what calls have changed.
local function tasks_save(job)
    for name, sum in pairs(job.counts) do
        redis.pcall('HINCRBY', key(job, 'count'), name, digits(sum))
    end
    live_save(job)
    due_save(job)
    for chunk, fins in pairs(job.fins) do fins_save(job, chunk, fins) end
    for chunk, done in pairs(job.left) do left_save(job, chunk, done) end
    call_all('RPUSH', key(job, 'made'), job.made)
end

-- Replaces the attempt's part of the job's sums.
local function progress_set(job, rec, items, ok, bytes)
    job.items = job.items + items - rec[R_ITEMS]
    job.items_ok = job.items_ok + ok - rec[R_ITEMS_OK]
    job.bytes = job.bytes + bytes - rec[R_BYTES]
    rec[R_ITEMS], rec[R_ITEMS_OK], rec[R_BYTES] = items, ok, bytes
end

-- Numbers and texts of new tasks come as pairs (entry, items) from args[at] on; the first `skip` of
-- them are there already.
local function entries_read(args, at, skip)
    local entries, items = {}, 0
    for i = at + 2 * skip, #args - 1, 2 do
        entries[#entries + 1] = args[i]
        items = items + tonumber(args[i + 1])
    end
    return entries, items
end
