import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { controlRecorder } from '../../src/erasure/index.ts';
import { readLedger } from '../../src/erasure/ledger.ts';
import { countBlocked } from '../support/blocked.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

// A restored backup brings back the agents that were killed since. The ledger kills them again.

const TEST_KEY = Buffer.alloc(32, 'only-for-tests').toString('base64');
const dir = mkdtempSync(join(tmpdir(), 'kills-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describeOnServer('a test cannot open a second connection', () => {
  let [given, restored]: Awaited<ReturnType<typeof daemonDatabase>>[] = [];
  let [daemon, again]: TestDaemon[] = [];
  const ledger = join(dir, 'one.ndjson');
  beforeAll(async () => {
    [given, restored] = [await daemonDatabase(), await daemonDatabase()];
    daemon = await startTestDaemon({ ERASURE_LEDGER: ledger }, given.env);
    again = await startTestDaemon({}, restored.env);
  });
  afterAll(async () => {
    await Promise.all([daemon!.stop(), again!.stop()]);
    await Promise.all([given!.release(), restored!.release()]);
  });

  const ask = (client: Client, path: string, reason?: string) => client.request('POST', path, { body: { reason } });
  const stateOf = async (client: Client, agent: string) => {
    const { state, reason } = (await client.request('GET', `/v1/agents/${agent}`)).body;
    return [state, reason];
  };
  /** Creates the tenant as a backup from before the entries of the ledger would contain it. */
  async function restore(owner: Client): Promise<Client> {
    const client = await newTenant(again!.url, owner.tenant_id);
    await withClient({ ...serverConnection(), database: restored!.env.PGDATABASE! }, (pg) =>
      pg.query(`update tenants set created_at = created_at - interval '1 year' where tenant_id = $1`, [owner.tenant_id]),
    );
    return client;
  }
  async function replay(file: string, { tenant_id }: Client) {
    const child = spawn('npx', ['tsx', 'scripts/erasures.ts', '--ledger', file, '--tenant', tenant_id], {
      env: { ...process.env, ...restored!.env, NODE_ENV: 'test', ENCRYPTION_KEY: TEST_KEY, ERASURE_LEDGER: ledger },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let out = '';
    child.stdout.on('data', (part) => {
      out += part;
    });
    const [code] = await once(child, 'close');
    return { code, out };
  }

  test('a replay repeats the last change of each agent, and running it again changes nothing', async () => {
    const owner = await newTenant(daemon!.url);
    await ask(owner, '/v1/agents/planner/kill', 'it loops');
    await ask(owner, '/v1/agents/writer/kill');
    await ask(owner, '/v1/agents/writer/resurrect');
    expect(readFileSync(ledger, 'utf8')).not.toMatch(/planner|it loops/);
    const client = await restore(owner);
    expect(await stateOf(client, 'planner')).toEqual(['active', undefined]);
    const line = `${owner.tenant_id}  del_\\w+  agent repeated\\n`;
    expect(await replay(ledger, owner)).toEqual({ code: 0, out: expect.stringMatching(new RegExp(`^(${line}){2}$`)) });
    expect([await stateOf(client, 'planner'), await stateOf(client, 'writer')]).toEqual([
      ['killed', 'it loops'],
      ['active', undefined],
    ]);
    await replay(ledger, owner);
    const { data } = (await client.request('GET', '/v1/events?channel=team')).body;
    expect(data.map(({ kind, actor }: any) => [kind, actor.id])).toEqual([['agent.killed', 'agent-memory']]);
  }, 170_000);

  test('a kill of the tenant is repeated too, but not in a newer tenant of the same name', async () => {
    const owner = await newTenant(daemon!.url);
    await ask(owner, '/v1/tenant/kill', 'all');
    const newer = await newTenant(again!.url, owner.tenant_id);
    const skipped = await replay(ledger, owner);
    expect([skipped.code, skipped.out]).toEqual([0, expect.stringContaining('the tenant of this name was registered later')]);
    expect(await stateOf(newer, 'anyone')).toEqual(['active', undefined]);
    await withClient({ ...serverConnection(), database: restored!.env.PGDATABASE! }, (pg) =>
      pg.query(`update tenants set created_at = created_at - interval '1 year' where tenant_id = $1`, [owner.tenant_id]),
    );
    await replay(ledger, owner);
    expect(await stateOf(newer, 'anyone')).toEqual(['killed', 'all']);
  }, 170_000);

  test('a replay revokes mandates of the backup that were revoked since, and no others', async () => {
    const owner = await newTenant(daemon!.url);
    const make = (client: Client, mandate_id: string) =>
      client.request('POST', '/v1/mandates', { body: { mandate_id, agent_id: 'planner' } });
    for (const id of ['gone', 'kept', 'newer']) await make(owner, id);
    for (const id of ['gone', 'newer']) await ask(owner, `/v1/mandates/${id}/revoke`, 'leaked');
    const client = await restore(owner);
    for (const id of ['gone', 'kept']) await make(client, id);
    expect((await replay(ledger, owner)).code).toBe(0);
    const statusOf = async (id: string) => (await client.request('GET', `/v1/mandates/${id}`)).body.status;
    expect([await statusOf('gone'), await statusOf('kept'), await statusOf('newer')]).toEqual(['revoked', 'active', 404]);
    const { code } = await replay(ledger, owner);
    const { data } = (await client.request('GET', '/v1/events?channel=team')).body;
    expect([code, data.filter(({ kind }: any) => kind === 'mandate.revoked').length]).toEqual([0, 1]);
  }, 170_000);

  test('a replay revokes capabilities of the backup that were revoked since, and no others', async () => {
    const owner = await newTenant(daemon!.url);
    const body = { ns: '**', ops: ['GET'], expires_in: 3600 };
    const mint = async (client: Client): Promise<string> => (await client.request('POST', '/v1/capabilities', { body })).body.jti;
    const [gone, newer] = [await mint(owner), await mint(owner)];
    const revoke = (jti: string) => owner.request('DELETE', `/v1/capabilities/${jti}`);
    expect([(await revoke(gone)).status, (await revoke(newer)).status, (await revoke(gone)).status]).toEqual([204, 204, 404]);
    expect(readLedger(ledger).controls.filter(({ tenant_id }) => tenant_id === owner.tenant_id).length).toBe(2);
    const client = await restore(owner);
    const [copy, kept] = [await mint(client), await mint(client)];
    await withClient({ ...serverConnection(), database: restored!.env.PGDATABASE! }, (pg) =>
      pg.query('update capabilities set jti = $1 where tenant_id = $2 and jti = $3', [gone, owner.tenant_id, copy]),
    );
    const revokedOf = async () => {
      const { data } = (await client.request('GET', '/v1/capabilities')).body;
      return Object.fromEntries(data.map(({ jti, revoked_at }: { jti: string; revoked_at: string | null }) => [jti, revoked_at]));
    };
    expect(await revokedOf()).toEqual({ [gone]: null, [kept]: null });
    expect((await replay(ledger, owner)).code).toBe(0);
    const revoked = await revokedOf();
    expect(revoked).toEqual({ [gone]: expect.any(String), [kept]: null });
    expect([(await replay(ledger, owner)).code, await revokedOf()]).toEqual([0, revoked]);
  }, 170_000);

  test('a repeated kill or revocation adds neither an event nor an entry, unless the reason of the kill differs', async () => {
    const owner = await newTenant(daemon!.url);
    await owner.request('POST', '/v1/mandates', { body: { mandate_id: 'm', agent_id: 'planner' } });
    const written = async () => [
      (await owner.request('GET', '/v1/events?channel=team')).body.data.length,
      readLedger(ledger).controls.filter(({ tenant_id }) => tenant_id === owner.tenant_id).length,
    ];
    const kill = (reason?: string) => ask(owner, '/v1/agents/planner/kill', reason);
    expect(await written()).toEqual([1, 0]);
    const first = await kill('loops');
    for (let i = 0; i < 3; i++) expect((await kill('loops')).body).toEqual(first.body);
    expect(await written()).toEqual([2, 1]);
    expect((await kill()).body).toMatchObject({ state: 'killed', killed_at: first.body.killed_at });
    await kill();
    expect(await written()).toEqual([3, 2]);
    for (let i = 0; i < 3; i++) expect((await ask(owner, '/v1/mandates/m/revoke', `leaked ${i}`)).body.status).toBe('revoked');
    expect(await written()).toEqual([4, 3]);
    const keyed = (path: string, key: string) => owner.request('POST', path, { body: {}, headers: { 'Idempotency-Key': key } });
    for (const path of ['/v1/agents/planner/kill', '/v1/mandates/m/revoke', '/v1/agents/writer/resurrect']) {
      const answers = [await keyed(path, 'a'), await keyed(path, 'b'), await keyed(path, 'a')];
      expect(
        answers.map(({ status, body, headers }) => [status, body.state ?? body.status, headers.get('idempotent-replay')]),
      ).toEqual(answers.map((_, i) => [200, answers[0]!.body.state ?? 'revoked', i === 2 ? 'true' : null]));
    }
    expect((await keyed('/v1/agents/planner/kill', 'a')).body).toMatchObject({
      state: 'killed',
      killed_at: first.body.killed_at,
    });
    expect(await written()).toEqual([4, 3]);
    await owner.request('POST', '/v1/agents/planner/resurrect', { body: {} });
    expect((await keyed('/v1/agents/planner/kill', 'a')).body.state).toBe('active');
    expect(await written()).toEqual([5, 4]);
  });

  test('while the ledger cannot be written, a kill is in force and returns 503, and its retry writes the entry', async () => {
    const owner = await newTenant(daemon!.url);
    const kill = () => owner.request('POST', '/v1/agents/planner/kill', { body: {}, headers: { 'Idempotency-Key': 'once' } });
    renameSync(ledger, join(dir, 'aside'));
    symlinkSync('/dev/full', ledger);
    expect((await kill()).status).toBe(503);
    expect(await stateOf(owner, 'planner')).toEqual(['killed', undefined]);
    rmSync(ledger);
    renameSync(join(dir, 'aside'), ledger);
    const before = readLedger(ledger).controls.length;
    expect((await kill()).headers.get('idempotent-replay')).toBe('true');
    expect(readLedger(ledger).controls).toHaveLength(before + 1);
  });

  test('after a restore, earlier mandates are suspended and earlier leases void, until an admin confirms them', async () => {
    const owner = await newTenant(daemon!.url);
    const bob = await newColleague(owner);
    const ask = (method: string, path: string, body: object, headers = {}) => owner.request(method, path, { body, headers });
    const act = async (mandate_id: string, action_id: string) => {
      const action = { action_id, type: 'tool_call', tool: 'read', estimate_micros: 0 };
      const { status, body } = await ask('POST', `/v1/mandates/${mandate_id}/actions`, action);
      return [status, body.code];
    };
    const made = (await ask('POST', '/v1/mandates', { agent_id: 'planner' })).body;
    const { token } = (await ask('PUT', '/v1/leases/work', { owner: 'one', ttl_ms: 600_000 })).body;
    const fenced = async () => (await ask('POST', '/v1/events', { text: 'fenced' }, { Lease: `work;token=${token}` })).status;
    expect([await act(made.mandate_id, 'a1'), await fenced()]).toEqual([[201, undefined], 201]);
    await withClient({ ...serverConnection(), database: given!.env.PGDATABASE! }, (pg) =>
      pg.query('select await_replay(); select confirm_restore()'),
    );
    expect([await act(made.mandate_id, 'a2'), await fenced()]).toEqual([[403, 'MANDATE_SUSPENDED'], 412]);
    expect((await owner.request('GET', `/v1/mandates/${made.mandate_id}`)).body.status).toBe('suspended');
    const later = (await ask('POST', '/v1/mandates', { agent_id: 'planner' })).body;
    expect(await act(later.mandate_id, 'a3')).toEqual([201, undefined]);
    expect((await bob.request('POST', '/v1/tenant/confirm-restore')).status).toBe(403);
    expect((await owner.request('POST', '/v1/tenant/confirm-restore')).status).toBe(204);
    expect([await act(made.mandate_id, 'a4'), await fenced()]).toEqual([[201, undefined], 201]);
  }, 60_000);

  test('a confirmation locks no mandate before the clock, which a batch locks first', async () => {
    const owner = await newTenant(daemon!.url);
    await owner.request('POST', '/v1/mandates', { body: { agent_id: 'planner' } });
    await withClient({ ...serverConnection(), database: given!.env.PGDATABASE! }, async (pg) => {
      await pg.query('update mandates set suspended = true where tenant_id = $1', [owner.tenant_id]);
      await pg.query('begin');
      await pg.query('select from tenant_clocks where tenant_id = $1 for update', [owner.tenant_id]);
      const confirmed = owner.request('POST', '/v1/tenant/confirm-restore');
      await eventually(async () => (await countBlocked(pg)) === 1, 'the confirmation waits for the clock');
      const free = await pg.query('select from mandates where tenant_id = $1 for update nowait', [owner.tenant_id]);
      expect(free.rowCount).toBe(1);
      await pg.query('commit');
      expect((await confirmed).status).toBe(204);
    });
  }, 90_000);
});

test('without an encryption key, a change is not recorded, with a warning', () => {
  const messages: string[] = [];
  const file = join(dir, 'none.ndjson');
  const record = controlRecorder({ seal: undefined, ledger: file, warn: (_fault, text) => messages.push(text) });
  record('acme', '2026-01-01T00:00:00.000Z', { kind: 'agent', id: 'planner' });
  expect(messages).toEqual([expect.stringContaining('ENCRYPTION_KEY is not set')]);
  expect(() => readLedger(file)).toThrow('There is no ledger');
});
