import { createHash } from 'node:crypto';

/** A script, and the name under which the server knows it once it has seen it. */
export class Script {
  readonly sha: string;

  constructor(readonly text: string) {
    this.sha = createHash('sha1').update(text).digest('hex');
  }
}

/** The last ID that the stream has given out, whoever added it. Costs milliseconds behind a large entry: a last resort. */
const TOP_OF_STREAM = `
local function top_of_stream()
  local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
  if info.err then return '0-0' end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
  return '0-0'
end`;

/** Beyond it, numbers are not exact. */
const LAST_SEQUENCE = Number.MAX_SAFE_INTEGER - 1;

/** More numbers than are ever on their way at a time. */
const MANY = 1_000;

/**
 * Adds an entry to the log, once.
 *
 * The log's last ID stands beside the stream, because reading the last entry costs milliseconds when it is a large one.
 * Sequence numbers don't count from 0 but jump at random: should a server that has lost its newest entries hand out
 * their places again, the new ones will not be taken for those that were lost.
 *
 * What a publisher has appended is remembered under its numbers until it says that it will not ask again. A number below
 * the highest that is not remembered was given up, or comes too late from a connection that was: it would break the
 * order.
 *
 * What a user may not be allowed to do comes first, so that an entry which is refused is not in the log.
 */
export const APPEND = new Script(`${TOP_OF_STREAM}
local text, n, after, oldest = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local new_epoch, jump, max_length, max_age, memory = ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9]

local publisher = redis.call('HMGET', KEYS[3], n, 'top', 'floor')
if publisher[1] then return publisher[1] end
local top = tonumber(publisher[2] or 0)
if tonumber(n) <= top then return redis.error_reply('STALE a later entry of this publisher is in the log') end
if after > top then return redis.error_reply('GAP the entry before this one is not in the log') end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'last')
local epoch, last = head[1] or new_epoch, head[2] or top_of_stream()
local begun = not head[1] and { 'since', last } or {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local floor = tonumber(publisher[3] or oldest)
-- Before anything else is written: a server that is full looks at the first thing only, and would let the rest pass.
redis.call('HSET', KEYS[3], 'floor', floor)
if oldest - floor > ${MANY} then
  -- Most were given up and never came here: after an hour without Redis that can be millions. Who may not ask leaves some.
  for _, field in ipairs(redis.pcall('HKEYS', KEYS[3])) do
    if (tonumber(field) or oldest) < oldest then redis.call('HDEL', KEYS[3], field) end
  end
else
  for forgotten = floor, oldest - 1 do redis.call('HDEL', KEYS[3], forgotten) end
end
redis.call('HSET', KEYS[3], 'floor', oldest)
redis.call('PEXPIRE', KEYS[3], memory)
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f-0', math.max(0, now - max_age)))

local function id_after(previous)
  local ms, seq = string.match(previous, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if now > ms then return string.format('%.0f-%.0f', now, jump) end
  -- Somebody else's may be at the end of the millisecond.
  if seq + jump >= ${LAST_SEQUENCE} then return string.format('%.0f-%.0f', ms + 1, jump) end
  return string.format('%.0f-%.0f', ms, seq + 1 + jump)
end

local function add(id)
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', max_length, id, 'e', epoch, 'p', last, 'd', text)
end

local id = id_after(last)
local added = add(id)
if type(added) == 'table' and added.err then
  -- Somebody else's entry may stand in the way.
  id = id_after(top_of_stream())
  added = add(id)
  if type(added) == 'table' and added.err then return added end
end

local place = epoch .. ' ' .. id
redis.call('HSET', KEYS[3], n, place, 'top', n)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'last', id, unpack(begun))
return place
`);

/** Gives the log a head if it has none that makes sense, and answers with it. */
export const BEGIN = new Script(`${TOP_OF_STREAM}
local head = redis.call('HMGET', KEYS[2], 'epoch', 'last', 'since')
local epoch = head[1] and #head[1] <= 64 and string.match(head[1], '^[0-9a-z._]+$')
local last = head[2] and string.match(head[2], '^%d+%-%d+$') or top_of_stream()
local since = epoch and head[3] and string.match(head[3], '^%d+%-%d+$') or last
head = { epoch or ARGV[1], last, since }
redis.call('HSET', KEYS[2], 'epoch', head[1], 'last', last, 'since', since)
return head
`);

/** How many entries are looked at for the successors of one, and how many of those prove enough. */
const LOOK_AHEAD = 100;
const SUCCESSORS = 8;

/**
 * Whether an entry was added by `APPEND`, and whether another is still there. One of ours is the log's last one, or its
 * successors lead there: each names the one before it, and the head names the last. (An operator may have deleted that.)
 * Looked up in the server, one at a time, because entries may be large.
 */
export const EVIDENCE = new Script(`
local id, last = ARGV[1], ARGV[2]
local head = redis.call('HGET', KEYS[2], 'last') or ''

local function is_before(one, other)
  local ms, seq = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  if not ms or not other_ms then return false end
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(seq) < tonumber(other_seq)
end

local function is_ours()
  local ours, successors, at = { [id] = true }, 0, id
  for n = 1, ${LOOK_AHEAD} do
    if at == head then return ours[at] end
    local entry = redis.call('XRANGE', KEYS[1], '(' .. at, '+', 'COUNT', 1)[1]
    if not entry then return (n == 1 or successors > 0) and is_before(id, head) end
    at = entry[1]
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'p' and ours[entry[2][i + 1]] then
        ours[at] = true
        successors = successors + 1
      end
    end
    if successors == ${SUCCESSORS} then return true end
  end
end

return { is_ours() and 1 or 0, #redis.call('XRANGE', KEYS[1], last, last) }
`);

/**
 * Another epoch, for a log that has lost what was handed out in this one. Once, however many ask for it. The log ends
 * where the stream does: what stands beside it may be what was lost, and would then look lost in every epoch.
 */
export const RENEW = new Script(`${TOP_OF_STREAM}
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then return 0 end
local last = top_of_stream()
redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'last', last, 'since', last)
return 0
`);
