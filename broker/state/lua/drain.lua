-- drain.lua - a worker is told, with its next hello, to leave.
-- args: worker id

fleet_function('drain', WRITES, function(prefix, args)
    local worker = prefix .. 'worker:' .. args[1]
    if call('EXISTS', worker) == 0 then return CODE.NOT_FOUND, 'no such worker' end
    call('HSET', worker, 'drain', 1)
    return CODE.OK
end)
