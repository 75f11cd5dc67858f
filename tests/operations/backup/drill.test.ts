import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadConfig } from '../../../src/config.ts';
import { openDatabase } from '../../../src/db/index.ts';
import { createLogger } from '../../../src/log.ts';
import { eraseBatch } from '../../../src/tenants/sql.ts';
import { type Client, message, newTenant, PASSWORD, send } from '../../support/client.ts';
import { type TestConnection, withClient } from '../../support/cluster.ts';
import { startTestDaemon } from '../../support/daemon.ts';
import { emptyDatabase } from '../../support/database.ts';
import { describeWith } from '../../support/tool.ts';
import { backUp, envOf, newDir, root, sh, superuser } from './set.ts';

const run = promisify(execFile);

describeWith(['pg_dump', 'pg_restore', 'flock', 'openssl', 'curl'], 'disaster recovery', () => {
  test('scripts/drill.sh loads, kills, restores, compares hashes, and serves again', async () => {
    const drill = await sh('drill.sh', [], { DRILL_EVENTS: '400' });
    expect([drill.code, drill.out]).toEqual([
      0,
      expect.stringMatching(/passed: 400 events restored with the same hash, serving again \d+ s after the loss/),
    ]);
  });

  test('the restore replays erasures that happened after the backup', async () => {
    const ledger = join(newDir('ledger'), 'erasures.ndjson');
    const daemon = await startTestDaemon({ ERASURE_LEDGER: ledger });
    const client = await newTenant(daemon.url);
    const words = 'My birthday is in Floréal';
    const carol = { user_id: 'carol', actor: { type: 'human', id: 'carol' } };
    await client.request('POST', '/v1/events', { body: message(words, carol) });
    await client.request('POST', '/v1/events', { body: message('of somebody else') });
    const backup = await backUp({ ...daemon.env, BACKUP_DIR: newDir('backups') });
    const { body: job } = await client.request('POST', '/v1/erasures', { body: { user_id: 'carol' } });
    for (let state = ''; state !== 'done'; await sleep(100)) {
      ({ state } = (await client.request('GET', `/v1/jobs/${job.job_id}`)).body);
      expect(state).not.toBe('failed');
    }
    await daemon.stop();

    const target = await emptyDatabase();
    const restored = await sh('restore.sh', ['--ledger', ledger, backup], envOf(target.connection));
    expect([restored.code, restored.out]).toEqual([0, expect.stringContaining('1 events erased again')]);
    expect(await textsOf(target.connection)).toEqual([
      expect.stringContaining('"erased": true'),
      expect.stringContaining('somebody else'),
    ]);
    await target.release();
  });

  test('a tenant that was deleted after the backup comes back closed and empty; a new tenant that has reused an earlier name is kept', async () => {
    const ledger = join(newDir('ledger'), 'erasures.ndjson');
    const daemon = await startTestDaemon({ ERASURE_LEDGER: ledger });
    const first = await newTenant(daemon.url);
    const planner = { channel: 'team', agent_id: 'planner', actor: { type: 'agent', id: 'planner' } };
    await first.request('POST', '/v1/events', { body: message('of the first', planner) });
    const { body: job } = await first.request('POST', '/v1/erasures', { body: { agent_id: 'planner' } });
    for (let state = ''; state !== 'done'; await sleep(100))
      ({ state } = (await first.request('GET', `/v1/jobs/${job.job_id}`)).body);
    await first.request('DELETE', '/v1/tenant', { body: { confirm: first.tenant_id } });
    const database = await openDatabase(loadConfig({ ...daemon.env, NODE_ENV: 'test' }), createLogger('silent'));
    // Runs at once what would happen after five minutes.
    while ((await eraseBatch(database.tenants(first.tenant_id), 1000, 0)) !== 'gone') await sleep(20);
    await database.close();
    const second = await newTenant(daemon.url, first.tenant_id, 'bob');
    await second.request('POST', '/v1/events', { body: message('of the second', planner) });
    const doomed = await newTenant(daemon.url);
    await doomed.request('POST', '/v1/events', { body: message('of the doomed') });
    const backup = await backUp({ ...daemon.env, BACKUP_DIR: newDir('backups') });
    expect((await doomed.request('DELETE', '/v1/tenant', { body: { confirm: doomed.tenant_id } })).status).toBe(202);
    await daemon.stop();

    const target = await emptyDatabase();
    const restored = await sh('restore.sh', ['--ledger', ledger, backup], envOf(target.connection));
    expect([restored.code, restored.out]).toEqual([0, expect.stringContaining('the tenant is deleted again')]);
    expect(restored.out.match(/skipped: the tenant of this name was registered later/g)).toHaveLength(2);
    expect(await textsOf(target.connection)).toEqual([expect.stringContaining('of the second')]);
    const again = await startTestDaemon({}, envOf(target.connection));
    const login = async ({ tenant_id, username }: Client) =>
      (await send(again.url, 'POST', '/auth/login', { body: { tenant_id, username, password: PASSWORD } })).status;
    expect([await login(second), await login(doomed)]).toEqual([200, 401]);
    await again.stop();
    await target.release();
  });

  const textsOf = (connection: TestConnection) =>
    withClient({ ...connection, ...superuser() }, async (client) => {
      const { rows } = await client.query(`select content::text as text from events where kind = 'message' order by seq`);
      return rows.map(({ text }) => text);
    });
});

describeWith(['systemd-analyze'], 'the timer', () => {
  test('systemd accepts the units', async () => {
    const dir = newDir('units');
    cpSync(join(root, 'scripts/systemd'), dir, { recursive: true });
    const service = join(dir, 'agent-memory-backup.service');
    // systemd checks that the program exists
    writeFileSync(service, readFileSync(service, 'utf8').replaceAll('/opt/agent-memory/scripts', join(root, 'scripts')));
    const { stderr } = await run('systemd-analyze', ['verify', service, join(dir, 'agent-memory-backup.timer')]);
    expect(stderr).toBe('');
    const { stdout } = await run('systemd-analyze', ['calendar', '*-*-* 02:00:00']);
    expect(stdout).toContain('Next elapse');
  });
});
