import { execFileSync } from 'node:child_process';
import { type Client, message, newTenant, send } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, onEmbedded } from '../support/database.ts';

// D1: acknowledged is durable. A daemon that is killed again and again under writes; every acknowledged event is there once,
// and seq has no gap and no repeat.

const KILLS = 6;
const WRITERS = 8;
const MS_BETWEEN_KILLS = 700;

let database: Awaited<ReturnType<typeof daemonDatabase>>;
beforeAll(async () => {
  database = await daemonDatabase();
});
afterAll(() => database.release());

test(`D1 the daemon is killed ${KILLS} times under ${WRITERS} writers: nothing acknowledged is lost, seq has no gap`, async () => {
  const ledger = await writeUnderFaults(async (daemon, port) => {
    await daemon.kill('SIGKILL');
    return spawnDaemon(database.env, { PORT: port });
  });
  expect(ledger.acknowledged.size).toBeGreaterThan(KILLS);
  await expectWhole(ledger);
}, 120_000);

(process.env.TEST_ENGINE === 'embedded' ? test.skip : test)(
  `D1 the database's backends are killed ${KILLS} times: nothing acknowledged is lost (embedded: the engine dies with its daemon, above)`,
  async () => {
    if (onEmbedded()) return expect(onEmbedded()).toBe(true);
    const ledger = await writeUnderFaults(async (daemon) => {
      killBackends(database.env);
      return daemon;
    });
    expect(ledger.acknowledged.size).toBeGreaterThan(KILLS);
    await expectWhole(ledger);
  },
  120_000,
);

interface Ledger {
  client: Client;
  /** text → seq, written down only after a 2xx */
  acknowledged: Map<string, number>;
  daemon: SpawnedDaemon;
}

async function writeUnderFaults(fault: (daemon: SpawnedDaemon, port: string) => Promise<SpawnedDaemon>): Promise<Ledger> {
  let daemon = await spawnDaemon(database.env);
  const port = new URL(daemon.url).port;
  const client = await newTenant(daemon.url);
  const acknowledged = new Map<string, number>();
  let done = false;
  const writer = async (w: number) => {
    for (let n = 0; !done; n += 1) {
      const text = `writer ${w} event ${n}`;
      // the same key until it is acknowledged: a retry must not write twice
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

async function expectWhole({ client, acknowledged, daemon }: Ledger): Promise<void> {
  const stored: { seq: number; text: string }[] = [];
  for (let after = 0; ; ) {
    const { body } = await client.ask<{ data: { seq: number; content: { text: string } }[] }>(
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

/** SIGKILL to one backend makes PostgreSQL end all sessions and recover from its log. */
function killBackends({ PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD }: Record<string, string>): void {
  const sql = "select pid from pg_stat_activity where application_name = 'agent-memory' and datname = current_database() limit 1";
  const pid = execFileSync('psql', ['-AtX', '-c', sql], {
    env: { PATH: process.env.PATH, PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD },
  })
    .toString()
    .trim();
  if (pid) process.kill(Number(pid), 'SIGKILL');
}
