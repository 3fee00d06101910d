-- made.lua - shards that the job has made, in order of commit.
-- args: position, rows

job_function('made', READS, function(job, args)
    local position, rows = tonumber(args[1]), tonumber(args[2])
    local total = call('LLEN', key(job, 'made'))
    local page, cache = {}, {}
    for i, entry in ipairs(call('LRANGE', key(job, 'made'), position, position + rows - 1)) do
        local digits, made = string.match(entry, '^(%d+):?(.*)$')
        local index = tonumber(digits)
        if made == '' then
            local _, name = task_entry(job, index, cache)
            made = name
        end
        page[i] = { index, made, fin_get(job, index).digest }
    end
    return CODE.OK, '', total, page
end)
