-- next_release.lua - what the next release may add to the state, for the upgrade test.
--
-- Joined behind broker/state/lua/*.lua into the library of vlmq-broker-next. Whatever docs/state.md
-- allows a release to add beside the one before it is added here: a number more in the job's
-- array, a value more in the records of tasks, a field of the job's hash, a key of the job. This
-- release's library reads and writes the same keys meanwhile, and drops some of it.

local NEXT_TTL_MS = 600000 -- the release before does not purge what it does not know

local numbers_before = numbers_list
numbers_list = function(job)
    local numbers = numbers_before(job)
    numbers[#numbers + 1] = 7
    return numbers
end

local rec_before = rec_new
rec_new = function(phase, name)
    local rec = rec_before(phase, name)
    rec[#rec + 1] = 'next'
    return rec
end

local save_before = job_save
job_save = function(job)
    save_before(job)
    call('HSET', job.key, 'next', '7')
    call('SET', key(job, 'next'), '7', 'PX', NEXT_TTL_MS)
end
