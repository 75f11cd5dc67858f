import { Redis } from 'ioredis';
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

interface DebugLog {
  debug(what: { err: Error }, message: string): void;
}

/** Connects to Redis. `keyPrefix` separates the keys of two services on one server. */
export function connectRedis(url: string, log: DebugLog, keyPrefix = 'agent_memory:rate:'): { take: TakeTokens; stop(): void } {
  const redis = new Redis(url, {
    // A stopped server process keeps its connections open without answering.
    commandTimeout: 1000,
    connectTimeout: 2000,
    maxRetriesPerRequest: 1,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
  });
  // Without a listener ioredis prints every failure; the callers of `take` log it once.
  redis.on('error', (err) => log.debug({ err }, 'redis'));
  return {
    async take(requests, windowMs) {
      const pipeline = redis.pipeline();
      for (const { key, max, owed, need, spare } of requests)
        pipeline.eval(TAKE, 1, keyPrefix + key, max, owed, need, spare, windowMs);
      const answers = (await pipeline.exec()) ?? [];
      return answers.map(([error, answer]) => {
        if (error) throw error;
        const [granted, left, ends_in_ms] = answer as [number, number, number];
        return { granted, left, ends_in_ms };
      });
    },
    stop: () => redis.disconnect(),
  };
}

/** Takes tokens like a daemon, with a separate key. Throws the cause of a failure instead of the error about exhausted retries. */
export async function testRedis(url: string): Promise<void> {
  const errors: Error[] = [];
  const { take, stop } = connectRedis(url, { debug: ({ err }) => void errors.push(err) }, 'agent_memory:doctor:');
  try {
    await take([{ key: 'doctor', max: 1, owed: 0, need: 1, spare: 0 }], 1000);
  } catch (error) {
    throw errors[0] ?? error;
  } finally {
    stop();
  }
}
