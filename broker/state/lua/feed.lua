-- feed.lua - jobs that were touched after a position; count is 1 where the feed may have been
-- trimmed past it, so that the reader looks at everything.
-- args: after (empty: only the newest position), rows

fleet_function('feed', READS, function(prefix, args)
    local feed, after = prefix .. 'feed', args[1]
    if after == '' then
        local last = call('XREVRANGE', feed, '+', '-', 'COUNT', 1)
        return CODE.OK, '', 0, { last[1] and last[1][1] or '0-0', {} }
    end
    local entries = call('XRANGE', feed, '(' .. after, '+', 'COUNT', args[2])
    local list, page = {}, after
    for i, entry in ipairs(entries) do list[i], page = entry[2][2], entry[1] end
    local kept = #call('XRANGE', feed, '-', after, 'COUNT', 1) > 0
    local missed = not kept and call('XLEN', feed) >= EVENTS_MAX
    return CODE.OK, '', missed and 1 or 0, { page, list }
end)
