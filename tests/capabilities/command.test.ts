import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { clientOf, makeOwner, makeUser } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// The command that mints capabilities, while a daemon is running.

const root = join(import.meta.dirname, '..', '..');
const KEY = Buffer.alloc(32, 0x5c).toString('base64');

describeOnServer('the embedded engine admits one process at a time', () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await startTestDaemon({ CAP_KEY_ACTIVE: KEY });
  });
  afterAll(() => daemon.stop());

  const run = (args: string[], env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const command = [join(root, 'scripts/capability.ts'), ...args];
      const settings = {
        PATH: process.env.PATH,
        NODE_ENV: 'test',
        ...daemon.env,
        CAP_KEY_ACTIVE: KEY,
        AUDIT_KEY: 'a key of the audit, for tests only',
        ...env,
      };
      execFile(join(root, 'node_modules/.bin/tsx'), command, { cwd: root, env: settings }, (error, out, err) =>
        resolve({ code: error ? 1 : 0, out, err }),
      );
    });

  test('a minted capability is valid, has the rights of the user, and is listed and audited', async () => {
    const call = clientOf(daemon.url);
    const owner = await makeOwner(call);
    const member = await makeUser(call, owner, 'member', 'mia');
    const by = ['mint', '--tenant', owner.tenant_id, '--expires-in', '12h', '--ns', 'agent://a', '--ns', 'agent://b/*'];
    const { code, out, err } = await run([
      ...by,
      '--user',
      'olga',
      '--ops',
      'GET, ADMIN',
      '--max-qps',
      '50',
      '--agent',
      'planner',
    ]);
    expect([code, err]).toEqual([0, '']);
    const { capability, jti, expires_at } = JSON.parse(out);
    const payload = JSON.parse(Buffer.from(capability.split('.')[1], 'base64url').toString());
    expect(payload).toMatchObject({ ns: ['agent://a', 'agent://b/*'], ops: ['GET', 'ADMIN'], max_qps: 50, agent: 'planner' });
    expect([payload.exp - payload.iat, Date.parse(expires_at)]).toEqual([43_200, payload.exp * 1000]);
    expect((await call('GET', '/v1/snapshots', { token: capability })).status).toBe(200);
    expect((await call('GET', '/v1/capabilities', owner)).body.data[0]).toMatchObject({ jti, created_by: owner.user.user_id });
    const { data } = (await call('GET', '/v1/audit?action=capability.minted', owner)).body;
    expect(data).toMatchObject([{ principal_id: 'operator', payload: { about: { jti, agent_id: 'planner' } } }]);

    const refused = await run([...by, '--user', member.user.username, '--ops', 'ADMIN']);
    expect([refused.code, refused.out, refused.err]).toEqual([1, '', expect.stringContaining('cannot have more permissions')]);
  });

  test.each([
    [['--user', 'nobody'], /has no enabled user nobody/],
    [['--ops', 'POST'], /#\/ops\/0: must be one of/],
    [['--ns', 'a*'], /#\/ns.*whole segments/],
    [['--expires-in', 'soon'], /--expires-in must be a duration/],
    [['--max-qps', 'many'], /#\/max_qps/],
  ])('%j is rejected with the reason', async (more, expected) => {
    const owner = await makeOwner(clientOf(daemon.url));
    const args = ['mint', '--tenant', owner.tenant_id, '--user', 'olga', '--ns', 'a', '--ops', 'GET', '--expires-in', '60'];
    const i = args.indexOf(more[0]!);
    const { code, out, err } = await run(i < 0 ? [...args, ...more] : [...args.slice(0, i), ...more, ...args.slice(i + 2)]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(expected);
  });
});
