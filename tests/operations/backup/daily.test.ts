import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.ts';

// scripts/backup-daily.sh, which decides when a backup is due. Another script makes the backup; these tests replace it.

const stamp = (time: Date) => time.toISOString().replaceAll(/[-:]/g, '').replace('T', '_').slice(0, 15);
const DAY_MS = 86_400_000;

let dir: string;
let running: ChildProcess | undefined;
let output = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'daily-'));
  mkdirSync(join(dir, 'backups'));
  copyFileSync(join(import.meta.dirname, '../../../scripts/backup-daily.sh'), join(dir, 'backup-daily.sh'));
});
afterEach(() => {
  if (running?.pid && running.exitCode === null) process.kill(-running.pid, 'SIGKILL');
  rmSync(dir, { recursive: true });
});

/** Writes a `script` that fails the given number of times, and then makes a backup, or does what `making` contains. */
function start(script: 'backup.sh' | 'base-backup.sh', failures: number, args: string[] = [], making?: string): void {
  const prefix = script === 'backup.sh' ? 'backup' : 'base';
  const body = `#!/bin/sh
echo tried >>${dir}/tries
[ "$(wc -l <${dir}/tries)" -gt ${failures} ] || exit 1
${making ?? `mkdir -p ${dir}/backups/${prefix}_$(date -u +%Y%m%d_%H%M%S)`}
`;
  writeFileSync(join(dir, script), body, { mode: 0o755 });
  output = '';
  running = spawn(join(dir, 'backup-daily.sh'), args, {
    detached: true,
    env: {
      PATH: process.env.PATH,
      TZ: 'UTC',
      BACKUP_AT: '00:00',
      BACKUP_RETRY_MAX_S: '1',
      BACKUP_DIR: join(dir, 'backups'),
      BASE_BACKUP_DIR: join(dir, 'backups'),
    },
  });
  for (const stream of [running.stdout!, running.stderr!]) stream.on('data', (part) => (output += part));
}
const waits = () => eventually(() => output.includes('next backup'), 'the next backup');
const made = () => readdirSync(join(dir, 'backups'));

test.each([
  ['backup.sh', []],
  ['base-backup.sh', ['base-backup.sh']],
] as const)('%s: without a backup, one is made at once and retried until it succeeds', async (script, args) => {
  start(script, 3, [...args]);
  await waits();
  expect(made()).toHaveLength(1);
  expect(output.match(/the backup failed: next attempt in 1 s/g)).toHaveLength(3);
});

test('with the backup of the day nothing is done before the next', async () => {
  const name = `backup_${stamp(new Date())}`;
  mkdirSync(join(dir, 'backups', name));
  start('backup.sh', 0);
  await waits();
  expect(made()).toEqual([name]);
});

test('a missed backup is made at once', async () => {
  const old = `backup_${stamp(new Date(Date.now() - 2 * DAY_MS))}`;
  mkdirSync(join(dir, 'backups', old));
  start('backup.sh', 0);
  await waits();
  expect(made()).toHaveLength(2);
});

test.each(['backup_zzzzzzzz_zzzzzz', `backup_${stamp(new Date(Date.now() + 2 * DAY_MS))}`])(
  '%s does not count as a backup of the day',
  async (name) => {
    mkdirSync(join(dir, 'backups', name));
    start('backup.sh', 0);
    await waits();
    expect(made()).toHaveLength(2);
    expect(output).not.toContain('failed');
  },
);

test('a name with an impossible date is an error', async () => {
  mkdirSync(join(dir, 'backups', 'backup_20250231_000000'));
  start('backup.sh', 0);
  await eventually(() => running!.exitCode !== null, 'its end');
  expect([running!.exitCode, output]).toEqual([
    1,
    expect.stringContaining('backup_20250231_000000 has no valid date in its name'),
  ]);
});

test('a script that makes no backup has failed, even if it exits with 0', async () => {
  start('backup.sh', 0, [], 'true');
  await eventually(() => (output.match(/the backup failed: next attempt in 1 s/g) ?? []).length === 2, 'two failures');
  const tries = readFileSync(join(dir, 'tries'), 'utf8').split('\n').length - 1;
  expect([tries, made()]).toEqual([2, []]);
});

test('another script is rejected', async () => {
  start('backup.sh', 0, ['restore.sh']);
  await eventually(() => running!.exitCode !== null, 'its end');
  expect([running!.exitCode, output]).toEqual([1, expect.stringContaining('usage: backup-daily.sh')]);
});
