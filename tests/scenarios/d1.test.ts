import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, message, newTenant, send } from '../support/client.ts';
import { type Cluster, findBinaries, serverPid, startCluster, startServer, withClient } from '../support/cluster.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';

// D1: acknowledged events are durable. The daemon, and in another test the database, is killed repeatedly during writes; every
// acknowledged event is stored once, and seqs have no gaps and no duplicates.

const KILLS = 6;
const WRITERS = 8;
const MS_BETWEEN_KILLS = 700;

test(`D1 the daemon is killed ${KILLS} times under ${WRITERS} writers: no acknowledged event is lost, and seqs have no gaps`, async () => {
  const database = await daemonDatabase();
  const ledger = await writeUnderFaults(database.env, async (daemon, port) => {
    await daemon.kill('SIGKILL');
    return spawnDaemon(database.env, { PORT: port });
  });
  expect(ledger.acknowledged.size).toBeGreaterThan(KILLS);
  await expectCompleteLog(ledger);
  await database.release();
}, 120_000);

const bin = findBinaries();
const withServer = bin && !process.env.TEST_DATABASE_URL ? test : test.skip;
describeOnServer('it ends with its daemon, which the test above covers', () => {
  withServer(
    `D1 PostgreSQL is killed ${KILLS} times, a backend or the whole server: nothing acknowledged is lost (skipped without its binaries)`,
    async () => {
      // a separate server, because killing a backend resets every session of a cluster
      const dir = mkdtempSync(join(tmpdir(), 'agent-memory-d1-'));
      const cluster = await startCluster(bin!, dir);
      const { host, port, user, database } = cluster.admin;
      let kill = 0;
      const ledger = await writeUnderFaults(
        { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database },
        async (daemon) => {
          kill += 1;
          if (kill % 2 === 1) await killBackend(cluster);
          else {
            process.kill(serverPid(dir), 'SIGKILL');
            await restart(dir, port);
          }
          return daemon;
        },
      );
      expect(ledger.acknowledged.size).toBeGreaterThan(KILLS);
      await expectCompleteLog(ledger);
      process.kill(serverPid(dir), 'SIGQUIT');
      rmSync(dir, { recursive: true, force: true });
    },
    180_000,
  );
});

interface Ledger {
  client: Client;
  /** The seq of each text, recorded only after a 2xx. */
  acknowledged: Map<string, number>;
  daemon: SpawnedDaemon;
}

async function writeUnderFaults(
  env: Record<string, string>,
  fault: (daemon: SpawnedDaemon, port: string) => Promise<SpawnedDaemon>,
): Promise<Ledger> {
  let daemon = await spawnDaemon(env);
  const port = new URL(daemon.url).port;
  const client = await newTenant(daemon.url);
  const acknowledged = new Map<string, number>();
  let done = false;
  const writer = async (w: number) => {
    for (let n = 0; !done; n += 1) {
      const text = `writer ${w} event ${n}`;
      // repeats the key until the write is acknowledged: a retry must not write twice
      const headers = { 'idempotency-key': text };
      for (let ok = false; !ok && !done; ) {
        const answer = await send<{ seq: number }>(
          daemon.url,
          'POST',
          '/v1/events',
          { body: message(text), headers },
          client.token,
        ).catch(() => undefined);
        ok = answer?.status === 201;
        if (ok) acknowledged.set(text, answer!.body.seq);
        else await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, w) => writer(w));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, MS_BETWEEN_KILLS));
    daemon = await fault(daemon, port);
  }
  await new Promise((resolve) => setTimeout(resolve, MS_BETWEEN_KILLS));
  done = true;
  await Promise.all(writers);
  return { client, acknowledged, daemon };
}

async function expectCompleteLog({ client, acknowledged, daemon }: Ledger): Promise<void> {
  const stored: { seq: number; text: string }[] = [];
  for (let after = 0; ; ) {
    const { body } = await client.request<{ data: { seq: number; content: { text: string } }[] }>(
      'GET',
      `/v1/events?after=${after}&limit=1000`,
    );
    if (body.data.length === 0) break;
    stored.push(...body.data.map(({ seq, content }) => ({ seq, text: content.text })));
    after = body.data.at(-1)!.seq;
  }
  await daemon.kill('SIGTERM');
  expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, i) => i + 1));
  expect(new Set(stored.map(({ text }) => text)).size).toBe(stored.length);
  const seqOf = new Map(stored.map(({ seq, text }) => [text, seq]));
  expect([...acknowledged].filter(([text, seq]) => seqOf.get(text) !== seq)).toEqual([]);
}

/** Kills one backend with SIGKILL, after which PostgreSQL ends all sessions and recovers from its WAL. */
async function killBackend({ admin }: Cluster): Promise<void> {
  const pid = await withClient(admin, async (client) => {
    const { rows } = await client.query(
      "select pid from pg_stat_activity where application_name = 'agent-memory' order by random() limit 1",
    );
    return rows[0]?.pid as number | undefined;
  });
  if (pid) process.kill(pid, 'SIGKILL');
}

/** Restarts a killed server. Retries, because its backends keep the shared memory for a moment. */
async function restart(dir: string, port: number): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await startServer(bin!, dir, port);
    } catch (error) {
      if (tries === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}
