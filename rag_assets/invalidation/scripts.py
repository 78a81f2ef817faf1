"""Lua scripts of the answer cache: what must be decided and done in one step.

Every key is declared, all of one hash tag; work per call is bounded by the caller's lists.
See ``keys.RedisKeys`` for what the keys hold. Fields of ``meta``:

``current``     publication that was told last, all of it
``floor``       what changed is known for answers from this publication on, and not for older ones
``generation``  answers of another generation are forgotten
``epoch``       of the notices; numbers of another epoch say nothing
``flushed``     batch of the notice that made this generation
``ttl``         seconds, for documents that have none of their own
"""

from __future__ import annotations

# KEYS meta, changes, erased, ttl, answer, index of each document.
# ARGV publication, ttl in seconds or '', value, key, expired members to prune, each document.
PUT = """
local meta = redis.call('HMGET', KEYS[1], 'current', 'floor', 'generation', 'ttl')
local publication = tonumber(ARGV[1])
if not meta[1] or publication < tonumber(meta[2]) then return 'unknown' end
local documents = #KEYS - 5
local seconds = tonumber(ARGV[2] ~= '' and ARGV[2] or meta[4])
for i = 1, documents do
  local document = ARGV[5 + i]
  local changed = redis.call('ZSCORE', KEYS[2], document)
  if changed and tonumber(changed) > publication then return 'changed' end
  if redis.call('SISMEMBER', KEYS[3], document) == 1 then return 'erased' end
  if ARGV[2] == '' then
    local shorter = redis.call('HGET', KEYS[4], document)
    if shorter then seconds = math.min(seconds, tonumber(shorter)) end
  end
end
local found = redis.call('HMGET', KEYS[5], 'p', 'g')
if found[1] and found[2] == meta[3] and tonumber(found[1]) > publication then return 'newer' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = math.max(1, math.floor(seconds * 1000))
redis.call('DEL', KEYS[5])
redis.call('HSET', KEYS[5], 'v', ARGV[3], 'p', ARGV[1], 'g', meta[3])
for i = 1, documents do
  redis.call('HSET', KEYS[5], 'd:' .. ARGV[5 + i], '')
  local index = KEYS[5 + i]
  local expired = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, ARGV[5])
  for _, member in ipairs(expired) do redis.call('ZREM', index, member) end
  redis.call('ZADD', index, string.format('%.0f', now + life), ARGV[4])
  if redis.call('PTTL', index) < life then redis.call('PEXPIRE', index, life) end
end
redis.call('PEXPIRE', KEYS[5], life)
return 'kept'
"""

# Before each page of a notice: whether it belongs to this epoch, and whether something is missing
# between what was told last and what it tells. Then all answers are forgotten, by a new generation.
# Only the first page of "everything" begins a later epoch: what is erased must be told anew, all of it.
# Returns 1, or the epoch ('' for none) because of which the page is ignored.
# KEYS meta, changes, times, erased.
# ARGV publication, after, 1 for everything, epoch, batch, 1 if it changes more than can be noted, page.
BEGIN = """
local meta = redis.call('HMGET', KEYS[1], 'current', 'floor', 'epoch', 'flushed')
local anew = meta[3] ~= ARGV[4]
local begins = ARGV[3] == '1' and ARGV[7] == '1' and (not meta[3] or meta[3] < ARGV[4])
if anew and not begins then return meta[3] or '' end
local gap = not meta[1] or tonumber(meta[1]) < tonumber(ARGV[2])
if (anew or gap or ARGV[3] == '1') and meta[4] ~= ARGV[5] then
  local time = redis.call('TIME')
  local floor = tonumber(ARGV[1])
  if anew then
    redis.call('HDEL', KEYS[1], 'current')
    redis.call('UNLINK', KEYS[4])
  else
    floor = math.max(floor, tonumber(meta[2] or '0'))
  end
  redis.call('UNLINK', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'generation', time[1] .. '.' .. time[2], 'floor', floor,
    'epoch', ARGV[4], 'flushed', ARGV[5])
end
if ARGV[6] == '1' then
  local floor = tonumber(redis.call('HGET', KEYS[1], 'floor'))
  redis.call('HSET', KEYS[1], 'floor', math.max(floor, tonumber(ARGV[1])))
end
return 1
"""

# Forget answers that used a document. KEYS pairs of index and answer; ARGV publication or '', then for
# each pair the document and the answer's key. Answers from that publication on stay, '' spares none.
FORGET = """
local forgotten = 0
for i = 1, #KEYS, 2 do
  local document, member = ARGV[i + 1], ARGV[i + 2]
  local found = redis.call('HMGET', KEYS[i + 1], 'p', 'd:' .. document)
  local used = found[1] and found[2]
  if not used then
    redis.call('ZREM', KEYS[i], member)
  elseif ARGV[1] == '' or tonumber(found[1]) < tonumber(ARGV[1]) then
    redis.call('UNLINK', KEYS[i + 1])
    redis.call('ZREM', KEYS[i], member)
    forgotten = forgotten + 1
  end
end
return forgotten
"""

# After the last page: the publication is told. Returns the floor, or nothing in another epoch.
# KEYS meta, changes, times. ARGV publication, epoch, default ttl in seconds, ms to keep changes for,
# changes to keep at most.
ADVANCE = """
local meta = redis.call('HMGET', KEYS[1], 'current', 'floor', 'epoch')
if meta[3] ~= ARGV[2] then return false end
local current = math.max(tonumber(ARGV[1]), tonumber(meta[1] or '0'))
local floor = tonumber(meta[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', now), ARGV[1])
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[4]))
for _, publication in ipairs(old) do
  floor = math.max(floor, tonumber(publication))
  redis.call('ZREM', KEYS[3], publication)
end
if redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[5]) then floor = current end
redis.call('HSET', KEYS[1], 'current', current, 'floor', floor, 'ttl', ARGV[3])
return floor
"""

# Remove changes that no answer is held against any more. KEYS changes. ARGV floor, how many at most.
PRUNE = """
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, document in ipairs(old) do redis.call('ZREM', KEYS[1], document) end
return #old
"""
