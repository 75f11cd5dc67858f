import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLedger } from '../../src/erasure/ledger.ts';
import { clientOf, PASSWORD } from '../auth/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

const root = join(import.meta.dirname, '..', '..');
const dir = mkdtempSync(join(tmpdir(), 'tenants-'));
const ledger = join(dir, 'erasures.ndjson');
let own: Awaited<ReturnType<typeof daemonDatabase>>;
beforeAll(async () => {
  own = await daemonDatabase();
});
afterAll(async () => {
  await own.release();
  rmSync(dir, { recursive: true, force: true });
});

interface Run {
  code: number | null;
  out: string;
  err: string;
}

const run = (args: string[], input = '', env: Record<string, string> = {}): Promise<Run> =>
  new Promise((resolve) => {
    const child = spawn(join(root, 'node_modules/.bin/tsx'), ['scripts/tenant.ts', ...args], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'test',
        BCRYPT_COST: '4',
        AUDIT_KEY: 'of the operator, for tests only!!',
        ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64'),
        ERASURE_LEDGER: ledger,
        ...own.env,
        ...env,
      },
    });
    const run: Run = { code: null, out: '', err: '' };
    child.stdout.on('data', (part) => {
      run.out += part;
    });
    child.stderr.on('data', (part) => {
      run.err += part;
    });
    child.on('close', (code) => resolve({ ...run, code }));
    child.stdin.end(input);
  });

test('the operator creates, limits, suspends and deletes tenants while registration is closed', async () => {
  const tenant_id = 'by-operator';
  const made = await run(['create', tenant_id, '--username', 'olga'], `${PASSWORD}\n`, { REGISTRATION: 'closed' });
  expect([made.code, made.err]).toEqual([0, '']);
  expect(JSON.parse(made.out)).toEqual({ tenant_id, username: 'olga', role: 'owner', user_id: expect.stringMatching(/^usr_/) });
  const generated = JSON.parse((await run(['create', 'generated', '--username', 'otto'])).out);
  expect(await run(['create', tenant_id, '--username', 'mallory'], PASSWORD)).toMatchObject({ code: 1, out: '' });
  expect((await run(['create', 'weak', '--username', 'olga'], 'short')).err).toContain('at least 10 characters');
  expect(await run(['quota', tenant_id, '--max-bytes', '1000'])).toMatchObject({ code: 0, err: '' });
  const reset = JSON.parse((await run(['reset-password', tenant_id, '--username', 'olga'])).out);

  const daemon = await startTestDaemon({}, own.env);
  const call = clientOf(daemon.url);
  const login = async (body: object) => (await call('POST', '/auth/login', { body })).status;
  expect(await login({ tenant_id: 'generated', username: 'otto', password: generated.password })).toBe(200);
  const { access_token: token } = (
    await call('POST', '/auth/login', { body: { tenant_id, username: 'olga', password: PASSWORD } })
  ).body;
  expect((await call('GET', '/v1/tenant', { token })).body.quotas).toEqual({ max_bytes: 1000 });
  expect((await call('GET', '/auth/sessions', { token })).body.data).toHaveLength(1);
  const body = { token: reset.token, new_password: 'Another-good-one-7' };
  expect((await call('POST', '/auth/password-reset', { body })).status).toBe(204);
  await daemon.stop();

  expect((await run(['suspend', tenant_id])).out).toContain('suspended');
  expect((await run(['delete', 'generated', '--confirm', 'other'])).code).toBe(1);
  expect((await run(['delete', 'generated', '--confirm', 'generated'])).code).toBe(0);
  expect(readLedger(ledger).entries).toMatchObject([{ kind: 'tenant', tenant_id: 'generated', state: 'completed' }]);
  expect((await run(['list'])).out).toBe(`${tenant_id}  suspended\ngenerated  deleting\n`);
  expect((await run(['suspend', 'no-such'])).code).toBe(1);

  const again = await startTestDaemon({}, own.env);
  const status = async (password: string) =>
    (await clientOf(again.url)('POST', '/auth/login', { body: { tenant_id, username: 'olga', password } })).status;
  expect(await status('Another-good-one-7')).toBe(401);
  await again.stop();
}, 120_000);
