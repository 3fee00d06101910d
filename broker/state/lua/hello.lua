-- hello.lua - a worker is there; it is forgotten when it has not been heard of for a while.
-- args: worker id, packed vlmq.WorkerInfo

fleet_function('hello', WRITES, function(prefix, args, now)
    local worker = prefix .. 'worker:' .. args[1]
    call('ZREMRANGEBYSCORE', prefix .. 'workers', '-inf', now - WORKER_TTL_MS)
    call('ZADD', prefix .. 'workers', now, args[1])
    call('HSET', worker, 'info', args[2])
    call('PEXPIRE', worker, WORKER_TTL_MS)
    return CODE.OK, '', call('HEXISTS', worker, 'drain')
end)
