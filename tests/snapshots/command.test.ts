import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { done } from '../retention/support.ts';
import { get, NAMESPACE, put } from '../state/client.ts';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// The command with which the operator takes snapshots, restores and prints state, while a daemon is running.

const root = join(import.meta.dirname, '..', '..');

describeOnServer('the embedded engine admits one process at a time', () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  afterAll(() => daemon.stop());

  const run = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const settings = {
        PATH: process.env.PATH,
        NODE_ENV: 'test',
        ...daemon.env,
        AUDIT_KEY: 'a key of the audit, for tests only',
      };
      const command = [join(root, 'scripts/state.ts'), ...args];
      execFile(join(root, 'node_modules/.bin/tsx'), command, { cwd: root, env: settings }, (error, out, err) =>
        resolve({ code: error ? 1 : 0, out, err }),
      );
    });

  test('snapshot, dump and restore work while a daemon runs, and are audited', async () => {
    const alice = await newTenant(daemon.url);
    const tenant = ['--tenant', alice.tenant_id];
    await put(alice, 'a', { body: { n: 1 }, tags: { status: 'open' } });
    await put(alice, 'mine', { body: 'secret plan', channel: 'private' });
    const taken = await run('snapshot', ...tenant, '--name', 'before', '--expires-in', '12h');
    expect([taken.code, taken.err]).toEqual([0, '']);
    const { data } = await done(alice, 'GET', '/v1/snapshots');
    expect(data).toEqual([JSON.parse(taken.out)]);
    await put(alice, 'a', { body: { n: 2 } });
    await put(alice, 'b', { body: 'new' }, {}, 'other');

    const lines = async (...args: string[]) =>
      (await run('dump', ...tenant, ...args)).out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    expect((await lines()).map(({ namespace, key, body }) => [namespace, key, body])).toEqual([
      [NAMESPACE, 'a', { n: 2 }],
      [NAMESPACE, 'mine', 'secret plan'],
      ['other', 'b', 'new'],
    ]);
    expect(await lines('--at', 'before', '--namespace', NAMESPACE)).toEqual([
      expect.objectContaining({ key: 'a', body: { n: 1 }, tags: { status: 'open' }, version: 1, commit_seq: 1 }),
      expect.objectContaining({ key: 'mine', channel: 'private', user_id: 'alice' }),
    ]);

    const preview = await run('restore', ...tenant, '--snapshot-id', 'before', '--dry-run');
    expect(JSON.parse(preview.out)).toEqual({ restored: 1, deleted: 1, unchanged: 1, commit_seq: 4 });
    const restored = await run('restore', ...tenant, '--snapshot-id', 'before');
    expect(JSON.parse(restored.out)).toEqual({ restored: 1, deleted: 1, unchanged: 1, commit_seq: 6 });
    expect((await get(alice, 'a')).body).toMatchObject({ body: { n: 1 }, version: 3 });
    const entries = (await done(alice, 'GET', '/v1/audit?action=state.restored')).data;
    expect(entries).toMatchObject([
      { principal_id: 'operator', payload: { about: { namespace: null, restored: 1, deleted: 1 } } },
    ]);
  }, 120_000);

  test('an invalid option, an unknown snapshot and an unknown tenant fail with one sentence', async () => {
    const { tenant_id } = await newTenant(daemon.url);
    const failures = await Promise.all([
      run('restore', '--tenant', tenant_id),
      run('restore', '--tenant', tenant_id, '--snapshot-id', 'none'),
      run('snapshot', '--tenant', tenant_id, '--name', '7'),
      run('dump', '--tenant', 'nobody-here'),
    ]);
    expect(failures.map(({ code, out, err }) => [code, out, err])).toEqual([
      [1, '', 'error: name either --snapshot-id or --at\n'],
      [1, '', 'error: There is no snapshot with this name.\n'],
      [1, '', expect.stringMatching(/^error: the name must begin with a letter/)],
      [1, '', 'error: the tenant nobody-here does not exist\n'],
    ]);
  }, 120_000);
});
