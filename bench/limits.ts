import { ServerResponse } from 'node:http';
import { loadConfig } from '../src/config.ts';
import { connectionOf, createPool } from '../src/db/pool.ts';
import { createLimits } from '../src/limits/index.ts';
import { createLogger } from '../src/log.ts';
import { createMetrics } from '../src/metrics/index.ts';
import { openRedis } from '../src/redis/index.ts';

// Measures the cost of the rate limiter per request: `tsx bench/limits.ts`, with PG* or REDIS_URL to measure the shared stores too.
// The limiter sets two headers on a real response; setting two constant headers is measured for comparison. Measures CPU time, so that other
// load on the machine matters less.

const ROUNDS = 7;
const PER_ROUND = 300_000;
const log = createLogger('warn');
const route = { limit: 'v1' } as const;

const responses = () => Array.from({ length: 1000 }, () => new ServerResponse({ method: 'GET' } as never));

async function measure(name: string, one: (i: number, res: ServerResponse) => unknown): Promise<void> {
  const results: number[] = [];
  const pool = responses();
  for (let round = 0; round < ROUNDS; round += 1) {
    const from = process.cpuUsage();
    for (let i = 0; i < PER_ROUND; i += 1) {
      await one(i, pool[i % 1000]!);
      // Let pending responses of the store arrive between requests, as in the daemon.
      if (i % 1000 === 999) await new Promise((resolve) => setImmediate(resolve));
    }
    const { user, system } = process.cpuUsage(from);
    results.push((user + system) / PER_ROUND);
  }
  results.sort((a, b) => a - b);
  console.log(`${name.padEnd(52)} ${results[ROUNDS >> 1]!.toFixed(2)} µs`);
}

const settings = (env: Record<string, string>) =>
  loadConfig({ ...process.env, RATE_LIMIT_MAX_REQUESTS: '10000000', RATE_LIMIT_TENANT_MAX: '100000000', ...env });

async function measureLimits(name: string, callers: number, embedded: boolean, env: Record<string, string> = {}): Promise<void> {
  const config = settings(env);
  let calls = 0;
  const real = embedded ? undefined : createPool({ ...connectionOf(config), embedded: false }, config, log);
  const using = (work: never) => {
    calls += 1;
    return real!.using(work);
  };
  const redis = openRedis(config, createMetrics({ version: '', engine: 'postgresql' }), log);
  const limits = createLimits(config, { ...real!, embedded, using } as never, log, redis);
  const people = Array.from({ length: callers }, (_, i) => ({
    principal: { tenant_id: `tenant_${i % 50}`, id: `usr_${i}`, user_id: `usr_${i}` },
  }));
  await measure(`${name}, ${callers} principals`, (i, res) => limits.admit(route, people[i % callers]!, '', res));
  if (calls > 0) console.log(`  ${calls} database calls for ${ROUNDS * PER_ROUND} requests`);
  await limits.stop();
  redis?.stop();
  await real?.end();
}

await measure('two constant headers', (_, res) => {
  res.setHeader('RateLimit-Policy', '"principal";q=100;w=60, "tenant";q=1000;w=60');
  res.setHeader('RateLimit', '"principal";r=99;t=60, "tenant";r=999;t=60');
});
const none = { REDIS_URL: '' };
for (const callers of [1, 1000, 15_000]) await measureLimits('in memory', callers, true, none);
if (process.env.PGHOST) for (const callers of [1, 1000]) await measureLimits('leased from the database', callers, false, none);
if (process.env.REDIS_URL) for (const callers of [1, 1000]) await measureLimits('leased from Redis', callers, true);
