-- workers.lua - the workers that were heard of lately.

fleet_function('workers', READS, function(prefix, _, now)
    local rows = {}
    local found = call('ZRANGE', prefix .. 'workers', now - WORKER_TTL_MS, '+inf', 'BYSCORE',
        'WITHSCORES')
    for i = 1, #found, 2 do
        local kept = call('HMGET', prefix .. 'worker:' .. found[i], 'info', 'drain')
        local seen, drain = tonumber(found[i + 1]), kept[2] and 1 or 0
        if kept[1] then rows[#rows + 1] = { kept[1], seen, drain } end
    end
    return CODE.OK, '', #rows, rows
end)
