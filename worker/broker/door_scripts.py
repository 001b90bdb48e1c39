"""The door on Redis: its keys and Lua scripts.

Redis keys:

============================  ======  ===============================================================
key                           type    content and life
============================  ======  ===============================================================
``corti.jobs``                list    producers' messages; the newest at the left end
``corti.jobs:taken:<door>``   list    the message that door is handling; gone when it is handled
``corti.jobs:door:<door>``    string  sign of life of that door; expires after `ALIVE_SECONDS`
``corti.jobs:doors``          set     names of all doors that may hold a message
``corti.jobs.aside``          zset    jobs set aside, with the time (s) to come back; see senders.py
============================  ======  ===============================================================
"""

#: Gives back the messages that a dead door had taken, to the end from which doors take: next in line.
RECLAIM = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local moved = 0
while redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'RIGHT') do moved = moved + 1 end
redis.call('SREM', KEYS[4], ARGV[1])
return moved
"""

#: Brings back the jobs set aside whose time is up: they are next in line.
COME_BACK = """
local now = tonumber(redis.call('TIME')[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
for _, body in ipairs(due) do
    redis.call('RPUSH', KEYS[2], body)
    redis.call('ZREM', KEYS[1], body)
end
return #due
"""

#: Forgets a message that was passed on, and the headers that were noted when its job was set aside. A quick
#: worker may have set the job aside again by now: then the headers are needed again.
FINISH = """
redis.call('LREM', KEYS[1], 1, ARGV[1])
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then redis.call('DEL', KEYS[3]) end
"""
