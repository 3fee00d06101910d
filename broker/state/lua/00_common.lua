#!lua name=vlmq_1
-- 00_common.lua - what all functions share: numbers of the protocol, time, registration.
--
-- The files of this folder are joined in name order into one library; redis.c puts one line of
-- constants (LEASE_TTL_MS, TASK_CHUNK, ...) after the first line, so that C and Lua agree. The
-- version in the library's name and in the functions' names changes when keys, arguments or
-- replies change so that an older broker could not work with them.
--
-- Redis runs a function alone and does not roll back: every function checks everything before
-- its first write. docs/state.md describes keys, functions and invariants.
--
-- A reply is {job or nil, {code, text, count, rows}, ...}: an answer for each call in the arguments.

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

local WRITES = { 'allow-oom' } -- running work always finishes
local GROWS = {}               -- refused when Redis is full
local READS = { 'no-writes' }

local function time_ms()
    local time = redis.call('TIME')
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
        function_name = 'vlmq_1_' .. name,
        flags = flags,
        callback = function(keys, args)
            return { false, answer(body(keys[1], args, time_ms())) }
        end,
    }
end
