-- 04_calls.lua - functions on one job that exists: many calls in one go.
--
-- The arguments are those of one call after the other, each with their number before them. All
-- calls of a function see what those before them have changed; what they change together is written
-- at the end, and the job in the reply is the one after the last.

-- The first arguments of all calls.
local function calls_first(args)
    local list, at = {}, 1
    while at <= #args do
        list[#list + 1] = args[at + 1]
        at = at + tonumber(args[at]) + 1
    end
    return list
end

local function calls_args(args, first, last)
    if last - first < 1000 then return { unpack(args, first, last) } end
    local list = {} -- more than unpack can take
    for i = first, last do list[i - first + 1] = args[i] end
    return list
end

local function calls_run(job, args, now, body)
    local reply, at = { false }, 1
    while at <= #args do
        local last = at + tonumber(args[at])
        reply[#reply + 1] = answer(body(job, calls_args(args, at + 1, last), now))
        at = last + 1
    end
    return reply
end

local function no_job()
    return CODE.NOT_FOUND, 'no such job'
end

-- body(job, args, now) checks, then changes, and returns code, text, count, rows. It changes the
-- job only when it returns OK. of_task: the first argument is a task's number.
local function job_function(name, flags, body, of_task)
    redis.register_function{
        function_name = LIBRARY_CALL .. name,
        flags = flags,
        callback = function(keys, args)
            local now = time_ms()
            local job = job_load(keys[1])
            if not job then return calls_run(nil, args, now, no_job) end
            if of_task then live_read(job, calls_first(args)) end
            local reply = calls_run(job, args, now, body)
            if flags ~= READS then
                tasks_save(job)
                job_save(job)
            end
            reply[1] = job_view(job, now)
            return reply
        end,
    }
end
