-- unindex.lua - a job has ended, or is purged.
-- args: job id, purged

fleet_function('unindex', WRITES, function(prefix, args)
    call('ZREM', prefix .. 'active', args[1])
    if args[2] == '1' then call('ZREM', prefix .. 'jobs', args[1]) end
    return CODE.OK
end)
