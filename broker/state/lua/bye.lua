-- bye.lua - a worker has left.
-- args: worker id

fleet_function('bye', WRITES, function(prefix, args)
    call('ZREM', prefix .. 'workers', args[1])
    call('UNLINK', prefix .. 'worker:' .. args[1])
    return CODE.OK
end)
