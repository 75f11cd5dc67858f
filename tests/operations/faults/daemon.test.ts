import { setTimeout as sleep } from 'node:timers/promises';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { isLong } from '../../support/fault-mode.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, startEdge } from '../nginx/edge.ts';
import { survive } from './survive.ts';

// A daemon stops at 200 requests per second, by SIGTERM and by SIGKILL: behind nginx in the shipped configuration, and with clients that know both
// daemons.

const RATE = 200;
const WRITERS = 40;
/** Longer than nginx's list of daemons takes to be rewritten. */
const AWAY_MS = isLong ? 10_000 : 3000;

describeWith(['nginx', 'openssl'], `one of two daemons stops at ${RATE} requests per second through nginx`, () => {
  let edge: Edge;
  beforeAll(async () => {
    // In the shipped configuration, a list of ready daemons is maintained next to nginx, so that no request goes to a starting daemon.
    edge = await startEdge({ watch: true, settings: { SHUTDOWN_DELAY_MS: '5000' } });
  });
  afterAll(() => edge?.stop());

  for (const [signal, what] of [
    ['SIGTERM', 'drains'],
    ['SIGKILL', 'dies, its requests are repeated at the other with their Idempotency-Key'],
  ] as const)
    test(`${signal}: the daemon ${what}, and no request fails`, async () => {
      const options = { url: edge.operator, rate: RATE, writers: WRITERS, noticed: 'never' as const, fresh: true };
      await survive(`${signal} to one of two daemons behind nginx`, options, async () => {
        edge.daemons[0] = await replaced(edge.daemons[0]!, signal, edge.env);
      });
    });
});

describe('two daemons on one database, with clients that know both', () => {
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

  test('one is killed and restarted: the other answers what it left unanswered', async () => {
    const urls = daemons.map(({ url }) => url);
    // the error that a client sees when the process is gone
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
