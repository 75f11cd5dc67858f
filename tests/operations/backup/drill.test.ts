import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { message, newTenant } from '../../support/client.ts';
import { type TestConnection, withClient } from '../../support/cluster.ts';
import { startTestDaemon } from '../../support/daemon.ts';
import { emptyDatabase } from '../../support/database.ts';
import { describeWith } from '../../support/tool.ts';
import { backUp, envOf, newDir, root, sh, superuser } from './set.ts';

const run = promisify(execFile);

describeWith(['pg_dump', 'pg_restore', 'flock', 'openssl', 'curl'], 'disaster', () => {
  test('scripts/drill.sh: loaded, killed, restored, the same by hash, and serving again', async () => {
    const drill = await sh('drill.sh', [], { DRILL_EVENTS: '400' });
    expect([drill.code, drill.out]).toEqual([
      0,
      expect.stringMatching(/passed: 400 events are back with the same hash, serving again \d+ s after the loss/),
    ]);
  });

  test('what was erased after the backup is erased again by the restore', async () => {
    const ledger = join(newDir('ledger'), 'erasures.ndjson');
    const daemon = await startTestDaemon({ ERASURE_LEDGER: ledger });
    const client = await newTenant(daemon.url);
    const words = 'My birthday is in Floréal';
    const carol = { user_id: 'carol', actor: { type: 'human', id: 'carol' } };
    await client.ask('POST', '/v1/events', { body: message(words, carol) });
    await client.ask('POST', '/v1/events', { body: message('of somebody else') });
    const backup = await backUp({ ...daemon.env, BACKUP_DIR: newDir('backups') });
    const { body: job } = await client.ask('POST', '/v1/erasures', { body: { user_id: 'carol' } });
    for (let state = ''; state !== 'done'; await sleep(100)) {
      ({ state } = (await client.ask('GET', `/v1/jobs/${job.job_id}`)).body);
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

  const textsOf = (connection: TestConnection) =>
    withClient({ ...connection, ...superuser() }, async (client) => {
      const { rows } = await client.query(`select content::text as text from events where kind = 'message' order by seq`);
      return rows.map(({ text }) => text);
    });
});

describeWith(['systemd-analyze'], 'the timer', () => {
  test('systemd takes the units', async () => {
    const dir = newDir('units');
    cpSync(join(root, 'scripts/systemd'), dir, { recursive: true });
    const service = join(dir, 'agent-memory-backup.service');
    // it looks for the program
    writeFileSync(service, readFileSync(service, 'utf8').replaceAll('/opt/agent-memory/scripts', join(root, 'scripts')));
    const { stderr } = await run('systemd-analyze', ['verify', service, join(dir, 'agent-memory-backup.timer')]);
    expect(stderr).toBe('');
    const { stdout } = await run('systemd-analyze', ['calendar', '*-*-* 02:00:00']);
    expect(stdout).toContain('Next elapse');
  });
});
