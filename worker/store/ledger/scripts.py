"""The ledger's Lua scripts; the keys are listed in `worker/store/ledger`."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

#: The format of a job's record. A record that names no format has this one: the first version wrote none.
FORMAT = "1"
#: Lua's test whether a record is of a later version of the worker; the variable `format` holds the answer of
#: `HGET ... format`. Such a record is left alone, and its job is left to workers that know the format.
_FOREIGN = f"(format and format ~= '{FORMAT}')"

#: KEYS epoch, quarantine. ARGV known epoch (empty: none), ms. Leaves the epoch in `epoch` and, when Redis
#: has forgotten things since the caller last looked, starts a quarantine.
_EPOCH = """
local epoch = redis.call('GET', KEYS[1])
if not epoch then
    -- To the microsecond: a Redis that is emptied within a millisecond of its start is another one, too.
    epoch = string.format('%d%06d', time[1], time[2])
    redis.call('SET', KEYS[1], epoch)
end
if ARGV[1] ~= '' and ARGV[1] ~= epoch then redis.call('SET', KEYS[2], epoch, 'NX', 'PX', ARGV[2]) end
"""

#: See _EPOCH. Returns the epoch.
EPOCH = _NOW + _EPOCH + "return epoch"

#: KEYS epoch, quarantine, job. ARGV known epoch, lease ms, owner, keep ms.
#: Returns {epoch, 'finished', undelivered} or {epoch, 'busy', ms left} or
#: {epoch, 'claimed', fence, attempts, taken over, interaction, url}.
CLAIM = (
    _NOW
    + _EPOCH
    + f"""
local left = redis.call('PTTL', KEYS[2])
if left > 0 then return {{epoch, 'busy', left}} end
local format = redis.call('HGET', KEYS[3], 'format')
if {_FOREIGN} then return {{epoch, 'busy', 1000}} end
"""
    + """
local r = redis.call('HMGET', KEYS[3], 'state', 'owner', 'lease', 'fence', 'attempts', 'interaction', 'url')
if r[1] == 'finished' then return {epoch, 'finished', redis.call('HEXISTS', KEYS[3], 'undelivered')} end
if r[2] and tonumber(r[3]) > now then return {epoch, 'busy', tonumber(r[3]) - now} end
local fence = math.max(time[1] * 1000000 + time[2], (tonumber(r[4]) or 0) + 1)
local attempts = (tonumber(r[5]) or 0) + 1
redis.call('HSET', KEYS[3], 'state', 'running', 'owner', ARGV[3], 'lease', now + ARGV[2],
           'fence', string.format('%.0f', fence), 'attempts', attempts)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return {epoch, 'claimed', fence, attempts, r[2] and 1 or 0, r[6] or '', r[7] or ''}
"""
)

#: KEYS job, outbox. ARGV owner, fence, lease ms, keep ms, attempts, interaction, url, job id.
#: Returns 1, or 0 when the claim belongs to somebody else. A job that Redis has forgotten is
#: claimed again as it was; one that is finished but not delivered stays ours to deliver.
RENEW = (
    _NOW
    + f"""
local format = redis.call('HGET', KEYS[1], 'format')
if {_FOREIGN} then return 0 end
"""
    + """
local r = redis.call('HMGET', KEYS[1], 'state', 'owner', 'fence')
if not r[1] then
    redis.call('HSET', KEYS[1], 'state', 'running', 'owner', ARGV[1], 'lease', now + ARGV[3],
               'fence', ARGV[2], 'attempts', ARGV[5])
    if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'interaction', ARGV[6], 'url', ARGV[7]) end
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return 1
end
if r[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'lease', now + ARGV[3])
if r[1] == 'finished' then redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[8]) end
return 1
"""
)

#: KEYS job. ARGV owner. Returns the number of the new attempt, or 0 when the claim is not ours.
ATTEMPT = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HINCRBY', KEYS[1], 'attempts', 1)
"""

#: KEYS job. ARGV owner. Gives the claim on a running job back; the attempt does not count.
RELEASE = """
local r = redis.call('HMGET', KEYS[1], 'state', 'owner')
if r[1] ~= 'running' or r[2] ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'owner', 'lease')
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
return 1
"""

#: KEYS job. ARGV owner, interaction, url.
REMEMBER = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'interaction', ARGV[2], 'url', ARGV[3])
"""

#: KEYS job, outbox, since. ARGV owner, fence, lease ms, keep ms, outcome, event, reply_to, letter, job id.
#: Returns 1, or 0 when somebody else has the claim or the job is finished already.
STORE = (
    _NOW
    + f"""
local format = redis.call('HGET', KEYS[1], 'format')
if {_FOREIGN} then return 0 end
"""
    + """
local r = redis.call('HMGET', KEYS[1], 'state', 'owner')
if r[1] and r[2] ~= ARGV[1] then return 0 end
-- Ours already: the answer to our first store got lost.
if r[1] == 'finished' then return redis.call('HEXISTS', KEYS[1], 'undelivered') end
redis.call('HSET', KEYS[1], 'state', 'finished', 'owner', ARGV[1], 'lease', now + ARGV[3], 'fence', ARGV[2],
           'outcome', ARGV[5], 'event', ARGV[6], 'reply_to', ARGV[7], 'letter', ARGV[8], 'undelivered', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[9])
redis.call('ZADD', KEYS[3], 'NX', now, ARGV[9])
return 1
"""
)

#: KEYS job. ARGV outcome, keep ms. Writes the end of a job again, for a Redis that has lost its data.
ENDED = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'state', 'finished', 'outcome', ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

#: KEYS job, outbox, since, ended. ARGV job id, keep the event (1 or 0), keep ms, ms for which other workers
#: can learn of the end. The broker has the result.
DELIVERED = (
    _NOW
    + """
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ARGV[4])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
redis.call('HSET', KEYS[1], 'state', 'finished')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[1], 'owner', 'lease', 'letter', 'undelivered')
if ARGV[2] ~= '1' then redis.call('HDEL', KEYS[1], 'event', 'reply_to') end
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])
"""
)

#: KEYS outbox. ARGV lease ms, most. Returns ids of jobs whose results anybody may deliver, and takes these
#: results for one lease.
TAKE = (
    _NOW
    + """
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], id) end
return ids
"""
)

#: KEYS cap. ARGV owner, lease ms, most. Returns 1, or 0 when all places are taken.
ENTER = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
    return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
return 1
"""
)

#: KEYS cap. ARGV most. Returns 1 when all places are taken, else 0.
FULL = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) and 1 or 0
"""
)

#: KEYS outbox, since. Returns {results that wait, ms since the oldest was stored}. Workers of a version that
#: did not know `since` left entries of delivered results there: these are removed.
BACKLOG = (
    _NOW
    + """
while true do
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if not oldest[1] then return {redis.call('ZCARD', KEYS[1]), 0} end
    if redis.call('ZSCORE', KEYS[1], oldest[1]) then
        return {redis.call('ZCARD', KEYS[1]), math.max(0, now - tonumber(oldest[2]))}
    end
    redis.call('ZREM', KEYS[2], oldest[1])
end
"""
)

#: KEYS alive, running, observer. ARGV name, running jobs, life ms. Says how many jobs a process runs.
#: Returns the sum over all processes to the process that is the observer, and nothing to the others.
REPORT = (
    _NOW
    + """
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[3])
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return false end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
local total = 0
for _, running in ipairs(redis.call('HVALS', KEYS[2])) do total = total + tonumber(running) end
return total
"""
)

#: KEYS alive, running, observer. ARGV name. Removes a process.
LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
return 1
"""
