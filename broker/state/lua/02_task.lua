-- 02_task.lua - where tasks are kept.
--
-- What a task is (phase, name, payload) stands in a chunk of TASK_CHUNK tasks, packed into one
-- field: u16 count, count times u32 end offset, then the entries; an entry is a phase byte, a byte
-- with the name's length, the name, the payload. Where a task stands:
--   index >= job.next, no record    ready, never taken (cancelled in a cancelled job)
--   a record in `live`              leased, waiting, ready again, dead or cancelled
--   a record in `fin:<chunk>`       done
-- A live record: s state, p phase, n name, a attempts, f failures, l losses, u leases lost before
-- their first renewal, lease, w worker, st renewed, added tasks added, items ok bytes: its progress
-- in the sums of the job, pb packed progress, code and why of the last failure, ll and lo: the
-- last lease that ended and how, cu and ta: it has a cursor, a log tail.

local FIN_FORMAT = '<BI2BBI4c16' -- state, attempts, failures, losses, lease prefix, digest prefix
local FIN_BYTES = 25

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
        cache.data = redis.call('HGET', key(job, 'payload'), chunk)
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
        local old = inside > 0 and redis.call('HGET', key(job, 'payload'), chunk) or nil
        redis.call('HSET', key(job, 'payload'), chunk, chunk_append(old, entries, first, count))
        redis.call('HINCRBY', key(job, 'left'), chunk, count)
        for i = first, first + count - 1 do
            if string.byte(entries[i], 1) == PHASE.PLAN then job.plans = job.plans + 1 end
        end
        job.total = job.total + count
        first = first + count
    end
end

local function live_get(job, index)
    local packed = redis.call('HGET', key(job, 'live'), index)
    return packed and cmsgpack.unpack(packed) or nil
end

local function live_put(job, index, rec)
    redis.call('HSET', key(job, 'live'), index, cmsgpack.pack(rec))
end

local function live_new(job, index, phase, name)
    redis.call('ZADD', key(job, 'order'), index, index)
    return {
        s = TASK.READY, p = phase, n = name, a = 0, f = 0, l = 0, u = 0, added = 0, items = 0,
        ok = 0, bytes = 0, pb = '', code = 0, why = '', w = '',
    }
end

-- Where the next attempt could go on.
local function cursor_put(job, index, rec, cursor)
    rec.cu = true
    redis.call('HSET', key(job, 'cursor'), index, cursor)
end

-- The record of a task whose lease is this one, or nil and what is there instead.
local function live_held(job, index, lease)
    local rec = live_get(job, index)
    if rec and rec.s == TASK.LEASED and rec.lease == lease then return rec end
    return nil, rec
end

local function lease_prefix(lease)
    return tonumber(string.sub(lease, 1, 8), 16) or 0
end

-- What is kept of a done task, or nil.
local function fin_get(job, index)
    local chunk, inside = chunk_of(index)
    local packed = redis.call('GETRANGE', key(job, 'fin:' .. chunk), inside * FIN_BYTES,
        (inside + 1) * FIN_BYTES - 1)
    if #packed < FIN_BYTES then return nil end
    local state, attempts, failures, losses, lease, digest = struct.unpack(FIN_FORMAT, packed)
    if state == 0 then return nil end
    return { s = state, a = attempts, f = failures, l = losses, lease = lease, digest = digest }
end

-- The string is made at its full length at once: growing it would double its memory.
local function fin_put(job, index, rec, digest)
    local chunk, inside = chunk_of(index)
    local name = key(job, 'fin:' .. chunk)
    if redis.call('EXISTS', name) == 0 then
        local rows = math.min(TASK_CHUNK, job.total - chunk * TASK_CHUNK)
        redis.call('SET', name, string.rep('\0', rows * FIN_BYTES))
    end
    redis.call('SETRANGE', name, inside * FIN_BYTES, struct.pack(FIN_FORMAT, TASK.DONE,
        math.min(rec.a, 65535), math.min(rec.f, 255), math.min(rec.l, 255),
        lease_prefix(rec.lease), string.sub(digest, 1, 16)))
end

-- Replaces the attempt's part of the job's sums.
local function progress_set(job, rec, items, ok, bytes)
    job.items = job.items + items - rec.items
    job.items_ok = job.items_ok + ok - rec.ok
    job.bytes = job.bytes + bytes - rec.bytes
    rec.items, rec.ok, rec.bytes = items, ok, bytes
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
