-- list.lua - a page of job ids, newest first. A page is named by the last id before it and that
-- one's score.
-- args: "jobs" or "active", page, rows

-- Ids after the one that the page names; it may be gone by now.
local function list_from(ids, page, rows)
    if page == '' then return call('ZREVRANGE', ids, 0, rows - 1, 'WITHSCORES') end
    local score, last = string.match(page, '^(%d+) (.+)$')
    local rank = call('ZREVRANK', ids, last)
    if rank then return call('ZREVRANGE', ids, rank + 1, rank + rows, 'WITHSCORES') end
    return call('ZREVRANGEBYSCORE', ids, score, '-inf', 'WITHSCORES', 'LIMIT', 0, rows)
end

fleet_function('list', READS, function(prefix, args)
    local rows = tonumber(args[3])
    local found = list_from(prefix .. args[1], args[2], rows)
    local list = {}
    for i = 1, #found, 2 do list[#list + 1] = found[i] end
    local page = #list == rows and found[#found] .. ' ' .. list[#list] or ''
    return CODE.OK, '', #list, { page, list }
end)
