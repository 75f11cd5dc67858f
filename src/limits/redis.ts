import { openRedis, type RedisLink } from '../redis/index.ts';
import type { RedisSettings } from '../redis_settings.ts';
import type { TakeTokens } from './lease.ts';

// take_tokens() of functions.sql as a Redis script.
const TAKE = `
local max, owed, need, spare, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local used, ends_in = tonumber(redis.call('GET', KEYS[1])), redis.call('PTTL', KEYS[1])
if not used or ends_in <= 0 then used, ends_in = 0, window end
used = used + owed
local free = math.max(max - used, 0)
local due = math.min(need, free)
local granted = due + math.min(spare, math.ceil((free - due) / 4))
redis.call('SET', KEYS[1], used + granted, 'PX', ends_in)
return { granted, free - granted, ends_in }`;

/** Takes tokens in Redis. Each window is a key of its own, so the windows of a call may be on different nodes of a cluster. */
export const takeFromRedis =
  (redis: Pick<RedisLink, 'run'>, prefix = 'rate:'): TakeTokens =>
  (requests, windowMs) =>
    Promise.all(
      requests.map(async ({ key, max, owed, need, spare }) => {
        try {
          const answer = await redis.run(TAKE, [prefix + key], [max, owed, need, spare, windowMs]);
          const [granted, left, ends_in_ms] = answer as [number, number, number];
          return { granted, left, ends_in_ms };
        } catch (error) {
          return error as Error;
        }
      }),
    );

const noMeters = {
  gauge: () => undefined,
  total: () => undefined,
  store: () => ({ answered: () => undefined, connected: () => undefined }),
};

/** Takes tokens like a daemon, with a separate key. Throws the cause of a failure instead of the error about exhausted retries. */
export async function testRedis(config: RedisSettings): Promise<void> {
  const errors: Error[] = [];
  const redis = openRedis(config, noMeters, { debug: ({ err }: { err: Error }) => void errors.push(err) });
  try {
    const [grant] = await takeFromRedis(redis!, 'doctor:')([{ key: 'doctor', max: 1, owed: 0, need: 1, spare: 0 }], 1000);
    if (grant instanceof Error) throw errors[0] ?? grant;
  } finally {
    redis?.stop();
  }
}
