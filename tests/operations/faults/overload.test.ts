import { message, newTenant } from '../../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { isLong, printFigures } from '../../support/fault-mode.ts';
import { flood, quantile, rawRequest } from '../../support/flood.ts';
import { startProxy } from '../../support/proxy.ts';

// More requests than can be served: the service serves nearly as many as at its capacity, and rejects the rest at once. The short form in CI shares
// the machine, so its limits are loose and it prints the figures; `npm run chaos` has the strict limits and needs an idle machine.

const SECONDS = isLong ? 15 : 4;
const OVERLOAD = 5;
const TENANTS = 4;
/** Rate limit of the loud and of the quiet tenant per window; each round takes one window. */
const LIMIT = 200;
const WINDOW_S = isLong ? 10 : 4;

let database: Awaited<ReturnType<typeof daemonDatabase>>;
beforeAll(async () => {
  database = await daemonDatabase();
});
afterAll(() => database?.release());

const PLACES = [
  // The bottleneck is the number of connections: each statement takes a fixed time, independent of other load.
  { place: 'elsewhere', delay_ms: 10, ...(isLong ? { least: 0.8, quick_ms: 20 } : { least: 0.5, quick_ms: 250 }) },
  // The bottleneck is the CPU, which the daemon shares with the database and the clients: rejecting takes CPU time from serving. With 20 backends
  // at work, the daemon would get a tenth of a core, and reject slowly.
  { place: 'on the same two cores', delay_ms: 0, ...(isLong ? { least: 0.6, quick_ms: 60 } : { least: 0.3, quick_ms: 500 }) },
];

test.each(PLACES)(
  `at ${OVERLOAD} times the capacity, with the database $place: goodput of at least $least of it, rejections within $quick_ms ms, no 500`,
  async ({ place, delay_ms, least, quick_ms }) => {
    const proxy = await startProxy({ host: database.env.PGHOST!, port: Number(database.env.PGPORT) });
    const reached = delay_ms > 0 ? { ...database.env, PGHOST: '127.0.0.1', PGPORT: String(proxy.port) } : database.env;
    const daemon = await spawnDaemon(reached, { MAX_IN_FLIGHT_REQUESTS: '50', PGPOOL_MAX: '4', PGPOOL_MIN: '4' });
    const requests = await readersOf(daemon);
    proxy.delay(delay_ms);
    const capacity = await capacityOf(daemon.url, requests);
    const over = await flood({ url: daemon.url, rate: OVERLOAD * capacity, seconds: SECONDS, sockets: 1000, requests });
    const calm = await flood({ url: daemon.url, rate: capacity / 4, seconds: 1, sockets: 32, requests });
    await daemon.kill('SIGTERM');
    await proxy.stop();
    const goodput = (over.answered['200'] ?? 0) / over.seconds;
    const refused = [...(over.took['503'] ?? []), ...(over.took['429'] ?? [])];
    const figures = {
      capacity,
      offered: over.offered,
      unsent: over.unsent,
      goodput,
      ratio: goodput / capacity,
      served_p99_ms: quantile(over.took['200'] ?? [], 0.99),
      refused_p50_ms: quantile(refused, 0.5),
      refused_p95_ms: quantile(refused, 0.95),
      refused_p99_ms: quantile(refused, 0.99),
      answered: over.answered,
    };
    printFigures(`overload, the database ${place}`, figures);
    expect(Object.keys(over.took).filter((one) => !['200', '429', '503'].includes(one))).toEqual([]);
    expect(refused.length).toBeGreaterThan(0);
    expect(goodput / capacity).toBeGreaterThan(least);
    expect(figures.refused_p95_ms).toBeLessThan(quick_ms);
    // After the overload, all requests succeed again.
    expect(Object.keys(calm.took)).toEqual(['200']);
  },
);

test('one tenant at ten times its limit gets 429, and another sees no errors', async () => {
  const daemon = await spawnDaemon(database.env, {
    RATE_LIMIT_ENABLED: 'true',
    RATE_LIMIT_WINDOW_MS: String(1000 * WINDOW_S),
    RATE_LIMIT_MAX_REQUESTS: String(LIMIT),
    RATE_LIMIT_TENANT_MAX: String(LIMIT),
  });
  const [loud, quiet] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  const record = (token: string) => rawRequest('POST', '/v1/events', token, message('a message as any other'));
  const request = (token: string, times: number, sockets: number) =>
    flood({ url: daemon.url, rate: (times * LIMIT) / WINDOW_S, seconds: WINDOW_S, sockets, requests: [record(token)] });
  const quietly = () => request(quiet.token, 0.8, 32);
  const solo: number[] = [];
  const beside: number[] = [];
  let loudest: Record<string, number> = {};
  // The first round is a warm-up.
  for (let round = 0; round < (isLong ? 7 : 2); round += 1) {
    const alone = await quietly();
    const [crowd, with_it] = await Promise.all([request(loud.token, 10, 200), quietly()]);
    loudest = crowd.answered;
    expect([Object.keys(alone.took), Object.keys(with_it.took)]).toEqual([['201'], ['201']]);
    expect(Object.keys(crowd.took).sort()).toEqual(['201', '429']);
    // One window may end and another begin during the round.
    expect(crowd.took['201']!.length).toBeLessThanOrEqual(2 * LIMIT);
    if (round === 0) continue;
    solo.push(...alone.took['201']!);
    beside.push(...with_it.took['201']!);
  }
  await daemon.kill('SIGTERM');
  const [alone, together] = [quantile(solo, 0.99), quantile(beside, 0.99)];
  printFigures('loud neighbour', { solo_p99_ms: alone, beside_p99_ms: together, ratio: together / alone, loudest });
  if (isLong) expect(together / alone).toBeLessThanOrEqual(2);
});

/** Returns searches of several tenants, for which the database is the bottleneck, as for most requests of agents. */
async function readersOf({ url }: SpawnedDaemon): Promise<string[]> {
  const tenants = await Promise.all(Array.from({ length: TENANTS }, () => newTenant(url)));
  await Promise.all(
    tenants.map(async ({ request }) => {
      const events = Array.from({ length: 300 }, (_, i) =>
        message(`What number ${i} says of parsers, blocks and lines of ${i % 7} files.`),
      );
      expect((await request('POST', '/v1/events', { body: { events } })).status).toBe(201);
    }),
  );
  return tenants.flatMap(({ token }) =>
    ['parsers of blocks', 'lines in seven files', 'number 42'].map((query) =>
      rawRequest('POST', '/v1/search', token, { query, channel: 'private' }),
    ),
  );
}

/** Measures the throughput at a concurrency that keeps the database busy. */
async function capacityOf(url: string, requests: string[]): Promise<number> {
  await flood({ url, seconds: 1, sockets: 32, requests });
  const { answered, seconds, took } = await flood({ url, seconds: SECONDS, sockets: 32, requests });
  expect(Object.keys(took)).toEqual(['200']);
  return answered['200']! / seconds;
}
