import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { announceDeletion } from '../../src/erasure/index.ts';
import { openLedger, readLedger } from '../../src/erasure/ledger.ts';
import { createLogger } from '../../src/log.ts';
import { eraseBatch } from '../../src/tenants/sql.ts';
import { type Client, message, newTenant, PASSWORD, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { erase } from './support.ts';

// A restored database contains erased data, and may contain newer data under the same names and seqs, which a replay must not erase.
const TEST_KEY = Buffer.alloc(32, 'only-for-tests').toString('base64');
const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('a replay', () => {
  let [given, restored]: Awaited<ReturnType<typeof daemonDatabase>>[] = [];
  let [daemon, again]: TestDaemon[] = [];
  let database: Database;
  const dir = mkdtempSync(join(tmpdir(), 'replay-'));
  const ledger = join(dir, 'erasures.ndjson');
  beforeAll(async () => {
    [given, restored] = [await daemonDatabase(), await daemonDatabase()];
    daemon = await startTestDaemon({ ERASURE_LEDGER: ledger }, given.env);
    again = await startTestDaemon({ CREDENTIAL_TTL_MS: '0' }, restored.env);
    database = await openDatabase(loadConfig({ ...given.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await Promise.all([daemon!.stop(), again!.stop()]);
    await Promise.all([given!.release(), restored!.release()]);
    rmSync(dir, { recursive: true, force: true });
  });

  const planner = (text: string) =>
    message(text, { channel: 'team', agent_id: 'planner', actor: { type: 'agent', id: 'planner' } });
  const record = async (client: Client, text: string) => {
    const { status } = await client.request('POST', '/v1/events', { body: planner(text) });
    if (status !== 201) throw new Error(`not recorded: ${status}`);
  };
  const textsOf = async (client: Client) =>
    (await client.request('GET', '/v1/events?channel=team&agent_id=planner')).body.data.map(
      (event: { content: { text: string } }) => event.content.text,
    );
  const remove = ({ tenant_id, request }: Client) => request('DELETE', '/v1/tenant', { body: { confirm: tenant_id } });
  const login = async (url: string, { tenant_id, username }: Client) =>
    (await send(url, 'POST', '/auth/login', { body: { tenant_id, username, password: PASSWORD } })).status;
  /** Makes the tenant and its events up to a seq older than the ledger. */
  async function age({ tenant_id }: Client, upto_seq: number) {
    await withClient({ ...theServer(), database: restored!.env.PGDATABASE! }, async (client) => {
      await client.query(`update tenants set created_at = created_at - interval '1 year' where tenant_id = $1`, [tenant_id]);
      await client.query(`update events set created_at = created_at - interval '1 year' where tenant_id = $1 and seq <= $2`, [
        tenant_id,
        upto_seq,
      ]);
    });
  }
  async function replay(env: Record<string, string>, file: string, ...more: string[]) {
    const child = spawn('npx', ['tsx', 'scripts/erasures.ts', '--ledger', file, ...more], {
      env: { ...process.env, ...env, NODE_ENV: 'test', ENCRYPTION_KEY: TEST_KEY, ERASURE_LEDGER: ledger },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let out = '';
    child.stdout.on('data', (part) => {
      out += part;
    });
    const [code] = await once(child, 'close');
    return { code, out };
  }
  const replayOf = ({ tenant_id }: Client, env = restored!.env) => replay(env, ledger, '--tenant', tenant_id);

  test('erases events from before the erasure, but not newer events that reuse their seqs after an earlier restore', async () => {
    const owner = await newTenant(daemon!.url);
    for (const text of ['long gone', 'and gone']) await record(owner, text);
    await erase(owner, { agent_id: 'planner' });
    const client = await newTenant(again!.url, owner.tenant_id);
    for (const text of ['long gone', 'a new beginning']) await record(client, text);
    await age(client, 1);
    expect(await replayOf(owner)).toEqual({
      code: 0,
      out: expect.stringMatching(new RegExp(`^${owner.tenant_id}  job_\\w+  1 events erased again\\n$`)),
    });
    expect(await textsOf(client)).toEqual(['a new beginning']);
  }, 90_000);

  test('skips a new tenant with the name of a deleted one', async () => {
    const owner = await newTenant(daemon!.url);
    for (const text of ['one', 'two', 'three']) await record(owner, text);
    await erase(owner, { agent_id: 'planner' });
    expect((await remove(owner)).status).toBe(202);
    const tenant = database.tenants(owner.tenant_id);
    // without the delay of five minutes
    while ((await eraseBatch(tenant, 1000, 0)) !== 'gone') await sleep(20);
    const other = await newTenant(daemon!.url, owner.tenant_id, 'bob');
    await record(other, 'of somebody else');
    const { code, out } = await replayOf(owner, given!.env);
    expect([code, out.match(/skipped: the tenant of this name was registered later/g)]).toEqual([0, expect.any(Array)]);
    expect(out.trim().split('\n')).toHaveLength(2);
    expect([await textsOf(other), await login(daemon!.url, other)]).toEqual([['of somebody else'], 200]);
  }, 90_000);

  test('deletes a deleted tenant again', async () => {
    const owner = await newTenant(daemon!.url);
    await record(owner, 'long gone');
    expect((await remove(owner)).status).toBe(202);
    const lines = readFileSync(ledger, 'utf8').split('\n');
    const own = lines.filter((line) => line.includes(owner.tenant_id)).map((line) => JSON.parse(line));
    expect(own.map(({ state, kind }) => [state, kind])).toEqual([
      ['started', 'tenant'],
      ['completed', 'tenant'],
    ]);
    const client = await newTenant(again!.url, owner.tenant_id);
    await record(client, 'long gone');
    await age(client, 1);
    expect(await login(again!.url, client)).toBe(200);
    expect(await replayOf(owner)).toEqual({ code: 0, out: expect.stringContaining('the tenant is deleted again') });
    expect(await login(again!.url, client)).toBe(401);
    const rows = await withClient({ ...theServer(), database: restored!.env.PGDATABASE! }, (pg) =>
      pg.query(
        'select (select count(*)::int from events where tenant_id = $1), (select state from tenants where tenant_id = $1)',
        [owner.tenant_id],
      ),
    );
    expect(rows.rows).toEqual([{ count: 0, state: 'deleting' }]);
    expect((await replayOf(owner)).code).toBe(0);
  }, 90_000);

  test('fails if it is unknown whether a tenant was deleted', async () => {
    const owner = await newTenant(daemon!.url);
    await remove(owner);
    const file = join(dir, 'cut.ndjson');
    writeFileSync(
      file,
      `${readFileSync(ledger, 'utf8')
        .split('\n')
        .find((line) => line.includes(owner.tenant_id))}\n`,
    );
    const client = await newTenant(again!.url, owner.tenant_id);
    await age(client, 0);
    expect(await replay(restored!.env, file)).toEqual({ code: 1, out: expect.stringContaining('it is unknown whether') });
    expect(await login(again!.url, client)).toBe(200);
  }, 90_000);

  test('deleting a tenant fails while the ledger cannot be written, and succeeds with a warning without a key', async () => {
    const owner = await newTenant(daemon!.url);
    writeFileSync(ledger, '', { flag: 'a' });
    renameSync(ledger, join(dir, 'aside'));
    symlinkSync('/dev/full', ledger);
    expect((await remove(owner)).status).toBe(503);
    rmSync(ledger);
    renameSync(join(dir, 'aside'), ledger);
    expect(await login(daemon!.url, owner)).toBe(200);
    expect((await remove(owner)).status).toBe(202);
    const messages: string[] = [];
    const file = join(dir, 'none.ndjson');
    announceDeletion({ seal: undefined, ledger: file, warn: (_fault, text) => messages.push(text) })(
      owner.tenant_id,
      new Date().toISOString(),
    )();
    expect(messages).toEqual([expect.stringContaining('ENCRYPTION_KEY is not set')]);
    expect(() => readLedger(file)).toThrow('There is no ledger');
  }, 60_000);
});

function theServer() {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('this needs a server');
  return engine.cluster.admin;
}

test('an erasure that started twice is replayed up to the seq of its latest start', () => {
  const dir = mkdtempSync(join(tmpdir(), 'twice-'));
  const file = join(dir, 'erasures.ndjson');
  const entry = (state: 'started' | 'completed', upto_seq: number) => ({
    at: `2026-01-01T00:00:0${upto_seq}.000Z`,
    state,
    job_id: 'job_1',
    tenant_id: 'acme',
    kind: 'user_id' as const,
    upto_seq,
    subject: { kid: 'a', iv: 'b', data: 'c', tag: 'd' },
  });
  const { append } = openLedger(file);
  for (const one of [entry('started', 1), entry('started', 3), entry('completed', 3)]) append(one);
  expect(readLedger(file).entries).toEqual([entry('started', 3)]);
  rmSync(dir, { recursive: true, force: true });
});
