-- touch.lua - tells the other brokers that something happened to a job.
-- args: job id

fleet_function('touch', WRITES, function(prefix, args)
    call('XADD', prefix .. 'feed', 'MAXLEN', '~', EVENTS_MAX, '*', 'j', args[1])
    return CODE.OK
end)
