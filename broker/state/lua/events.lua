-- events.lua - a page of the job's events, oldest first.
-- args: after, rows

job_function('events', READS, function(job, args)
    local from = args[1] == '' and '-' or '(' .. args[1]
    local page = call('XRANGE', key(job, 'events'), from, '+', 'COUNT', args[2])
    return CODE.OK, '', #page, page
end)
