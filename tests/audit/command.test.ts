import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEntry } from '../../src/audit/schemas.ts';
import { newColleague, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase, onEmbedded, serverConnection, testOnServer } from '../support/database.ts';

const root = join(import.meta.dirname, '..', '..');
const ENCRYPTION_KEY = Buffer.alloc(32, 'only-for-tests').toString('base64');
let own: Awaited<ReturnType<typeof daemonDatabase>>;
const dir = mkdtempSync(join(tmpdir(), 'agent-memory-audit-'));
beforeAll(async () => {
  own = await daemonDatabase();
});
afterAll(async () => {
  rmSync(dir, { recursive: true });
  await own.release();
});

const run = (
  script: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> =>
  new Promise((resolve) => {
    const child = spawn(join(root, 'node_modules/.bin/tsx'), [`scripts/${script}.ts`, ...args], {
      cwd: root,
      env: { PATH: process.env.PATH, NODE_ENV: 'test', ENCRYPTION_KEY, ...own.env, ...env },
    });
    const output = { out: '', err: '' };
    for (const name of ['out', 'err'] as const)
      child[`std${name}`].on('data', (part) => {
        output[name] += part;
      });
    child.on('close', (code) => resolve({ ...output, code }));
  });

test('operations of the operator are audited, and verify succeeds', async () => {
  const daemon = await startTestDaemon({}, own.env);
  const alice = await newTenant(daemon.url);
  await newColleague(alice);
  const locked = await run('audit', ['verify']);
  if (onEmbedded()) expect([locked.code, locked.err]).toEqual([1, expect.stringContaining(`pid ${process.pid}`)]);
  await daemon.stop();

  expect(await run('tenant', ['quota', alice.tenant_id, '--max-bytes', '1000000'])).toMatchObject({ code: 0, err: '' });
  expect(await run('tenant', ['suspend', alice.tenant_id])).toMatchObject({ code: 0 });
  expect(await run('tenant', ['resume', alice.tenant_id])).toMatchObject({ code: 0 });
  const again = await startTestDaemon({}, own.env);
  const entries = await fetch(`${again.url}/v1/audit?principal=operator&order=asc`, {
    headers: { authorization: `Bearer ${alice.token}` },
  }).then(async (answer) => ((await answer.json()) as { data: AuditEntry[] }).data);
  expect(entries.map(({ action }) => action)).toEqual(['tenant.quota_set', 'tenant.suspended', 'tenant.resumed']);
  expect(entries[0]!.payload).toMatchObject({ about: { max_bytes: 1_000_000 } });
  await again.stop();

  const heads = await run('audit', ['heads']);
  expect(JSON.parse(heads.out)).toEqual({ tenant: alice.tenant_id, seq: 6, mac: expect.stringMatching(/^[0-9a-f]{64}$/) });
  const file = join(dir, 'heads');
  writeFileSync(file, heads.out);
  expect(await run('audit', ['verify', '--heads', file])).toMatchObject({
    code: 0,
    err: '',
    out: `${alice.tenant_id}  6 entries  valid\n`,
  });
}, 120_000);

testOnServer('only the command can open the database, and the test must delete an entry')(
  'verify detects an entry that was cut off after the heads were saved',
  async () => {
    const heads = await run('audit', ['heads']);
    const { tenant, seq } = JSON.parse(heads.out);
    expect(seq).toBe(6);
    const file = join(dir, 'kept');
    writeFileSync(file, heads.out);
    await withClient({ ...serverConnection(), database: own.env.PGDATABASE! }, (client) =>
      client.query(`with gone as (delete from audit_entries where seq = 6) update audit_clocks set last_seq = 5, last_mac = e.mac, last_at = e.at
                  from audit_entries e where e.seq = 5`),
    );
    expect(await run('audit', ['verify'])).toMatchObject({ code: 0 });
    expect(await run('audit', ['verify', '--heads', file])).toMatchObject({
      code: 1,
      out: `${tenant}  5 entries  INVALID\n${tenant}  seq 6: missing, but listed in the saved heads\n`,
    });
  },
  120_000,
);

test('a read-only command fails without a database and does not create one', async () => {
  const nowhere = join(dir, 'nowhere');
  const env = { DATA_DIR: nowhere, PGHOST: '', DATABASE_URL: '' };
  for (const [script, ...args] of [
    ['audit', 'verify'],
    ['tenant', 'list'],
    ['migrate', 'status'],
  ])
    expect([script, await run(script!, args, env)]).toEqual([
      script,
      { code: 1, out: '', err: expect.stringContaining(`There is no database in ${nowhere}`) },
    ]);
  const replay = await run('erasures', ['--ledger', '/nope'], env);
  expect([replay.code, replay.err]).toEqual([1, expect.stringContaining('There is no ledger /nope')]);
  expect(existsSync(nowhere)).toBe(false);
});
