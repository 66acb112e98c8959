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

/** In so many steps the log is trimmed to its length. */
const STEPS = 100;

/**
 * Adds a batch to the log, once: one entry of the stream, which has the place of the batch's last entry as its ID. The
 * others have the sequence numbers before it.
 *
 * The log's last ID stands beside the stream, because reading the last entry costs milliseconds when it is a large one.
 * Sequence numbers don't count from 0 but jump at random: should a server that has lost its newest entries hand out
 * their places again, the new ones will not be taken for those that were lost.
 *
 * Of a publisher its newest batch is remembered, because it sends the next one only when it has the answer to that. One
 * that is older comes too late, from a connection that was given up: it would break the order.
 *
 * The stream counts batches, so the log's length has to be found otherwise: every so many entries a mark says how many
 * there had been before that place.
 *
 * What a user may not be allowed to do comes first, so that a batch which is refused is not in the log.
 */
export const APPEND = new Script(`${TOP_OF_STREAM}
local text, count, n, new_epoch, jump = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local max_length, max_age, memory = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local publisher = redis.call('HMGET', KEYS[4], 'n', 'place')
local newest = tonumber(publisher[1] or 0)
if n == newest then return publisher[2] end
if n < newest then return redis.error_reply('STALE a later batch of this publisher is in the log') end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'last', 'count')
local epoch, last, total = head[1] or new_epoch, head[2] or top_of_stream(), tonumber(head[3] or 0)
local begun = not head[1] and { 'since', last } or {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Before anything else is written: a server that is full looks at the first thing only, and would let the rest pass.
redis.call('HSET', KEYS[4], 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[4], memory)

local function id_after(previous)
  local ms, seq = string.match(previous, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if now > ms then return string.format('%.0f-%.0f', now, jump + count - 1) end
  -- Somebody else's may be at the end of the millisecond.
  if seq + jump + count >= ${LAST_SEQUENCE} then return string.format('%.0f-%.0f', ms + 1, jump + count - 1) end
  return string.format('%.0f-%.0f', ms, seq + jump + count)
end
local id = id_after(last)

-- A count that is gone has begun anew, and no mark is of it.
if not head[3] then redis.call('DEL', KEYS[3]) end
local step = math.ceil(max_length / ${STEPS})
if math.floor(total / step) < math.floor((total + count) / step) then
  local before = string.format('%.0f', total)
  -- An attempt that was refused further on has left it.
  if string.match(redis.call('LINDEX', KEYS[3], -1) or '', '^%d+') == before then redis.call('RPOP', KEYS[3]) end
  redis.call('RPUSH', KEYS[3], before .. ' ' .. id)
end
local trim = string.format('%.0f-0', math.max(0, now - max_age))
while true do
  local before, place = string.match(redis.call('LINDEX', KEYS[3], 0) or '', '^(%d+) (.+)$')
  if not before or total + count - before < max_length then break end
  -- Without a limit of its own Redis would leave some, and this mark is not looked at again.
  redis.call('XTRIM', KEYS[1], 'MINID', '~', place, 'LIMIT', 0)
  redis.call('LPOP', KEYS[3])
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', trim)

local function add()
  return redis.pcall('XADD', KEYS[1], id, 'e', epoch, 'p', last, 'n', count, 'd', text)
end
local added = add()
if type(added) == 'table' and added.err then
  -- Somebody else's entry may stand in the way.
  id = id_after(top_of_stream())
  added = add()
  if type(added) == 'table' and added.err then return added end
end

local place = epoch .. ' ' .. id
redis.call('HSET', KEYS[4], 'n', n, 'place', place)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'last', id, 'count', string.format('%.0f', total + count), unpack(begun))
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
