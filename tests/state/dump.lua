-- dump.lua - put after the functions by differential_redis.c: everything that Redis keeps of a job,
-- or of the fleet, as the text that queue_model_dump.c prints. Reads with the functions' own
-- job_load, live_get, fin_get and task_entry: how records are packed is known there only.

do
    local function quoted(text)
        return '"' .. string.gsub(text, '[%c"\\\128-\255]', function(byte)
            return string.format('\\x%02x', string.byte(byte))
        end) .. '"'
    end

    local function put(lines, ...)
        lines[#lines + 1] = table.concat({ ... })
    end

    local function number(value)
        return string.format('%.0f', value)
    end

    local function flag(value)
        return value and '1' or '0'
    end

    local NUMBERS = {
        'state', 'paused', 'priority', 'submitted', 'started', 'ended', 'version', 'total', 'next',
        'leased', 'waiting', 'done', 'dead', 'cancelled', 'items_total', 'items', 'items_ok',
        'bytes', 'plans', 'plans_dead', 'close', 'source', 'position', 'attempts_max',
        'held_failed',
    }

    local function dump_job(lines, job)
        for _, name in ipairs(NUMBERS) do put(lines, 'job.', name, ' ', number(job[name])) end
        put(lines, 'job head ', quoted(job.head))
        put(lines, 'job spec ', quoted(redis.call('HGET', job.key, 'spec')))
        put(lines, 'job reason ', quoted(job.reason))
        put(lines, 'job dead_why ', quoted(job.dead_why))
        put(lines, 'job source_why ', quoted(job.source_why))
    end

    local function dump_taken(job, index, rec)
        local member = string.format('%d', index)
        local cursor = rec[R_CURSOR] and redis.call('HGET', key(job, 'cursor'), member) or ''
        local tail = rec[R_TAIL] and redis.call('HGET', key(job, 'tail'), member) or ''
        return table.concat({
            ' attempts ', number(rec[R_ATTEMPTS]), ' failures ', number(rec[R_FAILURES]),
            ' losses ', number(rec[R_LOSSES]), ' unstarted ', number(rec[R_UNSTARTED]), ' lease ',
            quoted(rec[R_LEASE]), ' worker ', quoted(rec[R_WORKER]), ' renewed ',
            flag(rec[R_RENEWED]), ' added ', number(rec[R_ADDED]), ' items ',
            number(rec[R_ITEMS]), ' items_ok ', number(rec[R_ITEMS_OK]), ' bytes ',
            number(rec[R_BYTES]), ' progress ', quoted(rec[R_PROGRESS]), ' code ',
            number(rec[R_CODE]), ' why ', quoted(rec[R_WHY]), ' last ', quoted(rec[R_LAST]),
            ' ending ', quoted(rec[R_OUTCOME]), ' has_cursor ', flag(rec[R_CURSOR]), ' cursor ',
            quoted(cursor), ' has_tail ', flag(rec[R_TAIL]), ' tail ', quoted(tail),
        })
    end

    local function dump_task(job, index, cache, seen)
        local phase, name, payload = task_entry(job, index, cache)
        local rec, fin = live_get(job, index), fin_get(job, index)
        local state = fin and TASK.DONE or rec and rec[R_STATE] or TASK.READY
        local stopped = job.state == JOB.CANCELLING or job.state == JOB.CANCELLED
        if stopped and (state == TASK.READY or state == TASK.WAITING) then
            state = TASK.CANCELLED
        end
        local text = table.concat({
            'task ', number(index), ' phase ', number(phase), ' name ', quoted(name), ' state ',
            number(state),
        })
        if rec then
            seen.live = seen.live + 1
            if rec[R_CURSOR] then seen.cursor = seen.cursor + 1 end
            if rec[R_TAIL] then seen.tail = seen.tail + 1 end
            if rec[R_NAME] ~= name or rec[R_PHASE] ~= phase then
                text = text .. ' and its record differs'
            end
        end
        if fin then
            return table.concat({
                text, ' attempts ', number(fin.a), ' failures ', number(fin.f), ' losses ',
                number(fin.l), ' lease "', string.format('%08x', fin.lease), '" digest ',
                quoted(fin.digest), rec and ' and live' or '',
            })
        end
        text = text .. ' payload ' .. quoted(payload)
        if rec then return text .. dump_taken(job, index, rec) end
        return text .. (index < job.next and ' forgotten' or '')
    end

    local function dump_tasks(lines, job)
        local cache, seen = {}, { live = 0, cursor = 0, tail = 0 }
        for index = 0, job.total - 1 do
            lines[#lines + 1] = dump_task(job, index, cache, seen)
        end
        for name, count in pairs(seen) do
            if redis.call('HLEN', key(job, name)) ~= count then put(lines, 'more in ', name) end
        end
        local order = redis.call('ZRANGE', key(job, 'order'), 0, -1)
        local last = -1
        for _, member in ipairs(order) do
            local index = tonumber(member)
            if index <= last or not live_get(job, index) then put(lines, 'order at ', member) end
            last = index
        end
        if #order ~= seen.live then put(lines, 'order and live differ') end
    end

    local function dump_lists(lines, job)
        local left = redis.call('HGETALL', key(job, 'left'))
        local chunks = {}
        for i = 1, #left, 2 do chunks[#chunks + 1] = { tonumber(left[i]), left[i + 1] } end
        table.sort(chunks, function(a, b) return a[1] < b[1] end)
        for _, chunk in ipairs(chunks) do put(lines, 'left ', number(chunk[1]), ' ', chunk[2]) end
        for _, name in ipairs({ 'again', 'alone' }) do
            local list = redis.call('LRANGE', key(job, name), 0, -1)
            put(lines, name, #list > 0 and ' ' or '', table.concat(list, ' '))
        end
        local due = redis.call('ZRANGE', key(job, 'due'), 0, -1, 'WITHSCORES')
        for i = 1, #due, 2 do put(lines, 'due ', due[i + 1], ' ', due[i]) end
        for _, entry in ipairs(redis.call('LRANGE', key(job, 'made'), 0, -1)) do
            local index, name = string.match(entry, '^(%d+):?(.*)$')
            if name == '' then
                local _, own = task_entry(job, tonumber(index), {})
                name = own
            end
            put(lines, 'made ', index, ' name ', quoted(name))
        end
        for _, event in ipairs(redis.call('XRANGE', key(job, 'events'), '-', '+')) do
            local text, fields = 'event ' .. event[1], event[2]
            for i = 1, #fields, 2 do
                text = text .. ' ' .. fields[i] .. ' ' .. quoted(fields[i + 1])
            end
            lines[#lines + 1] = text
        end
    end

    local function dump_unordered(lines, job)
        local list = {}
        local counts = redis.call('HGETALL', key(job, 'count'))
        for i = 1, #counts, 2 do
            put(list, 'count name ', quoted(counts[i]), ' value ', counts[i + 1])
        end
        local took = redis.call('HGETALL', key(job, 'took'))
        for i = 1, #took, 2 do
            local lease, tasks = string.match(took[i + 1], '^(%x+)(.*)$')
            put(list, 'took worker ', quoted(took[i]), ' lease ', quoted(lease), tasks)
        end
        table.sort(list)
        for _, line in ipairs(list) do lines[#lines + 1] = line end
    end

    redis.register_function{
        function_name = 'test_dump',
        flags = READS,
        callback = function(keys)
            time_ms()
            local job = job_load(keys[1])
            if not job then return 'no job\n' end
            local lines = {}
            dump_job(lines, job)
            dump_tasks(lines, job)
            dump_lists(lines, job)
            dump_unordered(lines, job)
            return table.concat(lines, '\n') .. '\n'
        end,
    }

    local function dump_worker(list, prefix, id, seen)
        local kept = redis.call('HMGET', prefix .. 'worker:' .. id, 'info', 'drain')
        if not kept[1] then return end
        put(list, 'worker id ', quoted(id), ' seen ', seen, ' info ', quoted(kept[1]), ' drain ',
            flag(kept[2]))
    end

    redis.register_function{
        function_name = 'test_dump_fleet',
        flags = READS,
        callback = function(keys)
            local lines, list, prefix = {}, {}, keys[1]
            for _, name in ipairs({ 'jobs', 'active' }) do
                local ids = redis.call('ZRANGE', prefix .. name, 0, -1, 'WITHSCORES')
                for i = 1, #ids, 2 do put(lines, name, ' ', ids[i + 1], ' ', ids[i]) end
            end
            for _, entry in ipairs(redis.call('XRANGE', prefix .. 'feed', '-', '+')) do
                put(lines, 'feed ', entry[1], ' ', entry[2][2])
            end
            local workers = redis.call('ZRANGE', prefix .. 'workers', 0, -1, 'WITHSCORES')
            for i = 1, #workers, 2 do dump_worker(list, prefix, workers[i], workers[i + 1]) end
            table.sort(list)
            for _, line in ipairs(list) do lines[#lines + 1] = line end
            return #lines > 0 and table.concat(lines, '\n') .. '\n' or ''
        end,
    }
end
