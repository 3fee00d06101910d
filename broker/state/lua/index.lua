-- index.lua - a job enters the fleet's index and its set of active jobs, before it is submitted or
-- retried.
-- args: job id

fleet_function('index', GROWS, function(prefix, args, now)
    call('ZADD', prefix .. 'jobs', 'NX', now, args[1])
    call('ZADD', prefix .. 'active', call('ZSCORE', prefix .. 'jobs', args[1]), args[1])
    return CODE.OK
end)
