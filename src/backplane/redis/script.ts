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
 *
 * Closed topics are remembered for longer than the entries that closed them.
 */
export const APPEND = new Script(`${TOP_OF_STREAM}
local text, n, after, oldest = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local new_epoch, jump, max_length, max_age, memory = ARGV[5], tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9]
local mark, topic, closed_age, max_closed = ARGV[10], ARGV[11], tonumber(ARGV[12]), tonumber(ARGV[13])

local publisher = redis.call('HMGET', KEYS[3], n, 'top', 'floor')
if publisher[1] then return publisher[1] end
local top = tonumber(publisher[2] or 0)
if tonumber(n) <= top then return redis.error_reply('STALE a later entry of this publisher is in the log') end
if after > top then return redis.error_reply('GAP the entry before this one is not in the log') end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'last')
local epoch, last = head[1] or new_epoch, head[2] or top_of_stream()
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
redis.call('HSET', KEYS[2], 'epoch', epoch, 'last', id)
if mark == 'close' then
  redis.call('ZADD', KEYS[4], string.match(id, '^%d+'), topic)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('(%.0f', now - closed_age))
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - max_closed)
elseif mark == 'open' then
  redis.call('ZREM', KEYS[4], topic)
end
return place
`);

/** Gives the log an epoch if it has none, and answers with its head. */
export const BEGIN = new Script(`${TOP_OF_STREAM}
local head = redis.call('HMGET', KEYS[2], 'epoch', 'last')
if head[1] and head[2] then return head end
head = { head[1] or ARGV[1], head[2] or top_of_stream() }
redis.call('HSET', KEYS[2], 'epoch', head[1], 'last', head[2])
return head
`);

/**
 * Another epoch, for a log that has lost what was handed out in this one. Once, however many ask for it. The log ends
 * where the stream does: what stands beside it may be what was lost, and would then look lost in every life.
 */
export const RENEW = new Script(`
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], 'last')
redis.call('HSET', KEYS[2], 'epoch', ARGV[2])
return 0
`);
