#!lua
-- 00_common.lua - what all functions share: numbers of the protocol, time, registration.
--
-- The files of this folder are joined in name order into one library. library.c writes the first
-- line, which names it with its version, and behind it the constants (LIBRARY_CALL, LEASE_TTL_MS,
-- TASK_CHUNK, ...), so that C and Lua agree. docs/state.md says when the version changes.
--
-- Redis runs a function alone and does not roll back: every function checks everything before
-- its first write. docs/state.md describes keys, functions and invariants.
--
-- A reply is {job or nil, {code, text, count, rows}, ...}: an answer to each call in the arguments.

local CODE = {
    OK = 0, INVALID = 1, NOT_FOUND = 2, STALE = 3, CANCELLED = 4, LIMIT = 5, UNAVAILABLE = 7,
}
local JOB = {
    HELD = 1, PLANNING = 2, RUNNING = 3, CLOSING = 4, DONE = 5, FAILED = 6, CANCELLING = 7,
    CANCELLED = 8,
}
local TASK = { READY = 1, LEASED = 2, WAITING = 3, DONE = 4, DEAD = 5, CANCELLED = 6 }
local PHASE = { WORK = 0, PLAN = 1, CLOSE = 2 }
local SOURCE = { NONE = 0, OPEN = 1, ENDED = 2, FAILED = 3 }
local BLAME = { TASK = 0, INPUT = 1, DEVICE = 2 }

-- The values of a live task's record. It is an array, in Lua as in Redis: a table of names costs
-- three times as much to read and to write.
local R_STATE, R_PHASE, R_NAME, R_ATTEMPTS, R_FAILURES, R_LOSSES = 1, 2, 3, 4, 5, 6
local R_UNSTARTED = 7 -- leases lost before their first renewal
local R_LEASE, R_WORKER, R_RENEWED = 8, 9, 10
local R_ADDED = 11 -- tasks that it has added
local R_ITEMS, R_ITEMS_OK, R_BYTES = 12, 13, 14 -- its progress in the sums of the job
local R_PROGRESS = 15 -- packed
local R_CODE, R_WHY = 16, 17 -- of the last failure
local R_LAST, R_OUTCOME = 18, 19 -- the last lease that ended, and how
local R_CURSOR, R_TAIL = 20, 21 -- whether it has a cursor, a log tail

local WRITES = { 'allow-oom' } -- running work always finishes
local GROWS = {}               -- refused when Redis is full
local READS = { 'no-writes' }

-- redis.call, found at once instead of in two tables. It is not there yet when a library is loaded:
-- every function begins with time_ms.
local call

local function time_ms()
    call = call or redis.call
    local time = call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Redis would print a Lua number as a double of 17 digits, which takes longer than most commands.
local function digits(number)
    return string.format('%d', number)
end

local function answer(code, text, count, rows)
    return { code, text or '', count or 0, rows or {} }
end

-- A function of the fleet: body(prefix, args, now) returns code, text, count, rows.
local function fleet_function(name, flags, body)
    redis.register_function{
        function_name = LIBRARY_CALL .. name,
        flags = flags,
        callback = function(keys, args)
            return { false, answer(body(keys[1], args, time_ms())) }
        end,
    }
end
