-- 04_calls.lua - functions on one job that exists: many calls in one go.
--
-- The arguments are those of one call after the other, each with their number before them. All
-- calls of a run see what those before them have changed; what they change together is written
-- at the end, and the job in the reply is the one after the last.

local function calls_args(args, first, last)
    if last - first < 1000 then return { unpack(args, first, last) } end
    local list = {} -- more than unpack can take
    for i = first, last do list[i - first + 1] = args[i] end
    return list
end

-- find(args, at) gives a call's body and where its arguments begin.
local function calls_run(job, args, now, find)
    local reply, at = { false }, 1
    while at <= #args do
        local last = at + tonumber(args[at])
        local one, first = find(args, at + 1)
        reply[#reply + 1] = answer(one.body(job, calls_args(args, first, last), now))
        at = last + 1
    end
    return reply
end

-- Reads the tasks that calls begin with.
local function calls_read(job, args, find)
    local names, at = {}, 1
    while at <= #args do
        local one, first = find(args, at + 1)
        if one.of_task then names[#names + 1] = args[first] end
        at = at + tonumber(args[at]) + 1
    end
    live_read(job, names)
end

local NO_JOB = {
    body = function() return CODE.NOT_FOUND, 'no such job' end,
}

local function no_job(_, at)
    return NO_JOB, at
end

local function calls_function(name, flags, find)
    redis.register_function{
        function_name = LIBRARY_CALL .. name,
        flags = flags,
        callback = function(keys, args)
            local now = time_ms()
            local job = job_load(keys[1])
            if not job then return calls_run(nil, args, now, no_job) end
            calls_read(job, args, find)
            local reply = calls_run(job, args, now, find)
            if flags ~= READS then
                tasks_save(job)
                job_save(job)
            end
            reply[1] = job_view(job, now)
            return reply
        end,
    }
end

-- body(job, args, now) checks, then changes, and returns code, text, count, rows. It changes the
-- job only when it returns OK.
local function job_function(name, flags, body)
    local one = { body = body }
    calls_function(name, flags, function(_, at) return one, at end)
end

-- What workers do with tasks, most of all calls, shares its runs, whatever it is: the name of each
-- call stands before its arguments. of_task: the first of them is a task's number.
local ATTEMPT = {}

local function attempt_call(name, body, of_task)
    ATTEMPT[name] = { body = body, of_task = of_task }
end

calls_function('attempt', WRITES, function(args, at) return ATTEMPT[args[at]], at + 1 end)
