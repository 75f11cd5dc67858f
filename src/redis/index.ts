import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics/index.ts';
import { type RedisSettings, usesRedis } from '../redis_settings.ts';
import { within } from '../within.ts';
import { type Client, createClient } from './connect.ts';

export { placeOf } from './connect.ts';

// The connection to Redis. Nothing depends on it: PostgreSQL decides, and callers continue without Redis after a failure.
// docs/decisions/redis.md.

/** The channel of kills. Its messages have no content: receivers read the state from PostgreSQL. */
export const KILLS = 'kills';

/** Redis as the features use it. Keys and channels get the prefix of the settings. */
export interface RedisLink {
  /** Runs a script whose keys are in one slot. Rejects if Redis does not answer within REDIS_COMMAND_TIMEOUT_MS. */
  run(script: string, keys: string[], args: (string | number)[]): Promise<unknown>;
  /** Publishes an empty message. Resolves also if it could not be sent. */
  signal(channel: string): Promise<void>;
  /** Calls back for each message of a channel, and whenever a subscription begins, because messages may have been missed. */
  onSignal(channel: string, listener: () => void): void;
  /** Connects, so that the first request need not wait for it. */
  start(): void;
  stop(): void;
}

type Meters = Pick<Metrics, 'gauge' | 'total' | 'store'>;

/** Returns undefined if the settings name no Redis. Throws if REDIS_TLS_CA cannot be read. */
export function openRedis(config: RedisSettings, meters: Meters, log: Pick<Logger, 'debug'>): RedisLink | undefined {
  if (!usesRedis(config)) return undefined;
  const client = createClient(config);
  let subscriber: Subscriber | undefined;
  let connections = 0;
  const { answered, connected } = meters.store('redis');
  client.on('ready', () => {
    connections += 1;
    connected(true);
  });
  // Without a listener ioredis prints every failure. The callers log failures once.
  client.on('error', (err: Error) => {
    if (client.status !== 'ready') connected(false);
    log.debug({ err }, 'redis');
  });
  meters.gauge('redis_up', '1 while the daemon is connected to Redis', () => (client.status === 'ready' ? 1 : 0));
  meters.total('redis_reconnections_total', 'Lost connections to Redis that were established again', () =>
    Math.max(0, connections - 1),
  );
  const named = (name: string) => config.REDIS_KEY_PREFIX + name;

  async function timed<T>(command: Promise<T>): Promise<T> {
    const began = performance.now();
    // a client retries, waits for a failover and follows redirections by itself, each within a limit of its own
    const answer = await within(
      command,
      config.REDIS_COMMAND_TIMEOUT_MS,
      () => new Error(`Redis did not answer within ${config.REDIS_COMMAND_TIMEOUT_MS} ms`),
    );
    answered((performance.now() - began) / 1000);
    return answer;
  }

  return {
    run: (script, keys, args) => timed(client.eval(script, keys.length, ...keys.map(named), ...args)),
    signal: (channel) =>
      timed(client.publish(named(channel), '')).then(
        () => undefined,
        (err: unknown) => log.debug({ err }, 'a signal could not be sent through Redis'),
      ),
    onSignal(channel, listener) {
      subscriber ??= openSubscriber(createClient(config), log);
      subscriber.add(named(channel), listener);
    },
    start: () => void client.connect().catch((err: unknown) => log.debug({ err }, 'redis')),
    stop: () => {
      client.disconnect();
      subscriber?.stop();
    },
  };
}

/** Time until a subscription that a connected Redis did not confirm is requested again. */
const SUBSCRIBE_AGAIN_MS = 2000;

interface Subscriber {
  add(channel: string, listener: () => void): void;
  stop(): void;
}

/** Subscribes on each new connection. The connection is separate, because one that subscribes cannot send other commands. */
function openSubscriber(client: Client, log: Pick<Logger, 'debug'>): Subscriber {
  const listeners = new Map<string, (() => void)[]>();
  const tell = (channel: string) => listeners.get(channel)?.forEach((listener) => listener());
  let again: NodeJS.Timeout | undefined;
  const subscribe = async () => {
    clearTimeout(again);
    const channels = [...listeners.keys()];
    try {
      await client.subscribe(...channels);
    } catch (err) {
      log.debug({ err }, 'redis: not subscribed yet');
      if (client.status === 'ready') again = setTimeout(subscribe, SUBSCRIBE_AGAIN_MS);
      return;
    }
    channels.forEach(tell);
  };
  client.on('error', (err: Error) => log.debug({ err }, 'redis'));
  client.on('message', tell);
  client.on('ready', subscribe);
  void client.connect().catch((err: unknown) => log.debug({ err }, 'redis'));
  return {
    add(channel, listener) {
      listeners.set(channel, [...(listeners.get(channel) ?? []), listener]);
      if (client.status === 'ready') void subscribe();
    },
    stop() {
      clearTimeout(again);
      client.disconnect();
    },
  };
}
