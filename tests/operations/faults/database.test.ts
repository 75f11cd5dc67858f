import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { withClient } from '../../support/cluster.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { isLong } from '../../support/fault-mode.ts';
import { canStartServer, type OwnServer, startOwnServer } from '../../support/server.ts';
import { survive } from './survive.ts';

// PostgreSQL is killed, restarted, stopped, unreachable, or out of connections.

const PAUSE_MS = isLong ? 60_000 : 10_000;
const AWAY_MS = isLong ? 60_000 : 15_000;
const HOGGED_MS = isLong ? 30_000 : 6000;
const CONNECTIONS = 24;

let server: OwnServer;
let daemon: SpawnedDaemon;

(canStartServer ? describe : describe.skip)(
  `the database fails under load${canStartServer ? '' : ' (skipped: no PostgreSQL binaries)'}`,
  () => {
    beforeAll(async () => {
      server = await startOwnServer({ settings: `-c max_connections=${CONNECTIONS}` });
      daemon = await spawnDaemon(server.env, { PGPOOL_MAX: '12' });
    });
    afterAll(async () => {
      await daemon?.kill('SIGTERM');
      await server?.release();
    });
    const under = (name: string, fault: () => Promise<void>) => survive(name, { url: daemon.url }, fault);

    test('killed (SIGKILL to the server and its backends) and restarted', async () => {
      await under('database killed', async () => {
        await server.kill();
        await server.start();
      });
    });

    test('restarted (fast shutdown)', async () => {
      await under('database restarted', async () => {
        await server.stop();
        await server.start();
      });
    });

    test(`unreachable for ${AWAY_MS / 1000} s: requests fail at once, and the daemon is not ready`, async () => {
      let ready: (number | undefined)[] = [];
      const { requests } = await under('database away', async () => {
        await server.stop();
        await sleep(AWAY_MS / 2);
        ready = [await statusOf('/ready'), await statusOf('/health/live')];
        await sleep(AWAY_MS / 2);
        await server.start();
      });
      expect(ready).toEqual([503, 200]);
      const refused = requests.filter(({ outcome }) => outcome === '503').map(({ from, to }) => to - from);
      // Nothing listens on the port, so no timeout passes.
      expect(refused.sort((a, b) => a - b)[refused.length >> 1]).toBeLessThan(1000);
    });

    test(`stopped (SIGSTOP to all its processes) for ${PAUSE_MS / 1000} s: every request gets a response in time`, async () => {
      const { requests } = await under('database stopped', async () => {
        server.pause();
        await sleep(PAUSE_MS);
        server.resume();
      });
      // PGQUERY_TIMEOUT is 6 s, REQUEST_TIMEOUT_MS 10 s
      expect(Math.max(...requests.map(({ from, to }) => to - from))).toBeLessThan(11_000);
    });

    test('out of connections: other clients hold all of them, and the daemon has lost its own', async () => {
      await under('out of connections', async () => {
        const hog = startHog();
        await sleep(500);
        await withClient(server.admin, (client) =>
          client.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'agent-memory'"),
        );
        await sleep(HOGGED_MS);
        await hog.stop();
      });
    });
  },
);

const statusOf = (path: string): Promise<number> => fetch(daemon.url + path).then((response) => response.status);

/** Takes every free connection, except those that are reserved for superusers. */
function startHog() {
  const held: Client[] = [];
  let done = false;
  const grab = async () => {
    while (!done) {
      const client = new Client(server.database);
      client.on('error', () => undefined);
      await client.connect().then(
        () => held.push(client),
        () => sleep(5),
      );
    }
  };
  const running = Promise.all([grab(), grab(), grab()]);
  return {
    stop: async () => {
      done = true;
      await running;
      await Promise.all(held.map((client) => client.end()));
    },
  };
}
