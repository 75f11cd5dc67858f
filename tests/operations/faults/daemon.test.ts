import { setTimeout as sleep } from 'node:timers/promises';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { isLong } from '../../support/fault-mode.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, startEdge } from '../nginx/edge.ts';
import { survive } from './survive.ts';

// A daemon ends under 200 requests a second, by a signal that asks and by one that does not: behind nginx as it is shipped, and with
// clients that know both daemons.

const RATE = 200;
const WRITERS = 40;
/** Longer than the list of daemons needs to be written anew. */
const AWAY_MS = isLong ? 10_000 : 3000;

describeWith(['nginx', 'openssl'], `one of two daemons ends under ${RATE} requests a second through nginx`, () => {
  let edge: Edge;
  beforeAll(async () => {
    // as shipped: a list of ready daemons is kept beside nginx, so that nobody is sent to one that starts
    edge = await startEdge({ watch: true, settings: { SHUTDOWN_DELAY_MS: '5000' } });
  });
  afterAll(() => edge?.stop());

  for (const [signal, what] of [
    ['SIGTERM', 'drains'],
    ['SIGKILL', 'dies; what was with it goes to the other, under its Idempotency-Key'],
  ] as const)
    test(`${signal}: it ${what}; no request fails`, async () => {
      const wish = { url: edge.operator, rate: RATE, writers: WRITERS, noticed: 'never' as const, fresh: true };
      await survive(`${signal} to one of two daemons behind nginx`, wish, async () => {
        edge.daemons[0] = await replaced(edge.daemons[0]!, signal, edge.env);
      });
    });
});

describe('two daemons on one database, clients that know both', () => {
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemons: SpawnedDaemon[];
  beforeAll(async () => {
    database = await daemonDatabase();
    daemons = await Promise.all([spawnDaemon(database.env), spawnDaemon(database.env)]);
  });
  afterAll(async () => {
    for (const daemon of daemons ?? []) await daemon.kill('SIGTERM');
    await database?.release();
  });

  test('one dies (SIGKILL) and comes back: what it did not answer the other answers', async () => {
    const urls = daemons.map(({ url }) => url);
    // what a client sees of a process that is gone
    const allowed = ['ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET'];
    await survive('one of two daemons killed', { url: urls[0]!, urls, rate: RATE, writers: WRITERS, allowed }, async () => {
      daemons[1] = await replaced(daemons[1]!, 'SIGKILL', database.env);
    });
  });
});

async function replaced(daemon: SpawnedDaemon, signal: NodeJS.Signals, env: Record<string, string>): Promise<SpawnedDaemon> {
  await daemon.kill(signal);
  await sleep(AWAY_MS);
  return spawnDaemon(env, { PORT: new URL(daemon.url).port });
}
