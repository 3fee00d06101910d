-- clock.lua - put before the functions by differential_redis.c: time is what the test says, so that
-- everything that Redis makes of its own clock is the same in every run. TIME, the ids of streams
-- and the expiry of workers; streams are trimmed exactly.

local function real_redis() return redis end
local CLOCK_KEY, EXPIRY_KEY = 'vlmq:{test}:clock', 'vlmq:{test}:expiry'

local function test_now()
    return tonumber(real_redis().call('GET', CLOCK_KEY))
end

local function test_time()
    local ms = test_now()
    return { string.format('%d', math.floor(ms / 1000)), string.format('%d', ms % 1000 * 1000) }
end

-- XADD key MAXLEN ~ N * ..., with the id that * gives.
local function test_xadd(name, maxlen, about, length, star, ...)
    if maxlen ~= 'MAXLEN' or about ~= '~' or star ~= '*' then
        error('clock.lua does not know this XADD')
    end
    local now, newest = test_now(), real_redis().call('XREVRANGE', name, '+', '-', 'COUNT', 1)[1]
    local ms, seq = string.match(newest and newest[1] or '0-0', '^(%d+)-(%d+)$')
    local id = string.format('%.0f-0', now)
    if now <= tonumber(ms) then id = string.format('%s-%.0f', ms, tonumber(seq) + 1) end
    return real_redis().call('XADD', name, 'MAXLEN', '=', length, id, ...)
end

local READS_OF_WORKERS = { EXISTS = true, HMGET = true, HEXISTS = true, HGET = true }

-- The key of a worker, or where it has expired one that is not there.
local function test_worker(command, name)
    local last = tonumber(real_redis().call('HGET', EXPIRY_KEY, name) or '')
    if not last or test_now() <= last then return name end
    if READS_OF_WORKERS[command] then return name .. ':expired' end
    real_redis().call('UNLINK', name)
    return name
end

local function test_call(command, name, ...)
    if command == 'TIME' then return test_time() end
    if command == 'XADD' then return test_xadd(name, ...) end
    if command == 'PEXPIRE' then
        local last = test_now() + tonumber(...)
        return real_redis().call('HSET', EXPIRY_KEY, name, string.format('%.0f', last))
    end
    if string.find(name, ':worker:', 1, true) then name = test_worker(command, name) end
    return real_redis().call(command, name, ...)
end

local redis = {
    call = test_call,
    pcall = function(...) return real_redis().pcall(...) end,
    register_function = function(...) return real_redis().register_function(...) end,
}
