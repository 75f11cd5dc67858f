import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { message, newName, newTenant, send } from '../../support/client.ts';
import { unprivileged, withClient } from '../../support/cluster.ts';
import { spawnDaemon } from '../../support/daemon.ts';
import { testEngine } from '../../support/engine.ts';
import { canStartServer, startOwnServer } from '../../support/server.ts';
import { survive } from './survive.ts';

// The disk is full: under the tables, in which case PostgreSQL rejects writes and continues, and under the WAL, in which case it shuts down.

const missing = !canStartServer
  ? 'no PostgreSQL binaries'
  : process.getuid?.() !== 0 || !canMount()
    ? 'needs root, to mount a small disk'
    : '';

(missing ? describe.skip : describe)(`the disk is full${missing && ` (skipped: ${missing})`}`, () => {
  const mounted: string[] = [];
  afterAll(() => {
    for (const dir of mounted) execFileSync('umount', ['-l', dir]);
  });
  /** Creates a disk of the given size in MiB, owned by PostgreSQL's user. */
  function makeDisk(mib: number): string {
    const dir = join(testEngine().run_dir, newName('disk'));
    mkdirSync(dir);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=700`, 'tmpfs', dir]);
    mounted.push(dir);
    const { uid, gid } = unprivileged()!;
    chownSync(dir, uid, gid);
    chmodSync(dir, 0o711);
    return dir;
  }

  test('under the tables: writes return 507 with Retry-After, reads continue, and writes recover when space is free', async () => {
    const disk = makeDisk(64);
    const server = await startOwnServer();
    await withClient(server.admin, async (client) => {
      await client.query(`create tablespace small location '${disk}'`);
      await client.query('alter database agent_memory set tablespace small');
    });
    const daemon = await spawnDaemon(server.env);
    const reader = await newTenant(daemon.url);
    await reader.request('POST', '/v1/events', { body: message('from before') });
    let read: number[] = [];
    const options = { url: daemon.url, allowed: ['507'] };
    const { outcomes } = await survive('disk full under the tables', options, async () => {
      const fill = fillDisk(disk);
      const refused = await untilRefused(daemon.url, reader.token);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([507, expect.any(String)]);
      read = await Promise.all(
        ['/v1/events', '/ready', '/v1/memories'].map((path) =>
          send(daemon.url, 'GET', path, {}, reader.token).then(({ status }) => status),
        ),
      );
      await sleep(2000);
      rmSync(fill);
    });
    expect(outcomes['507']).toBeGreaterThan(0);
    expect(read).toEqual([200, 200, 200]);
    await daemon.kill('SIGTERM');
    await server.release();
  });

  test('under everything: PostgreSQL shuts down; restarted with free space, it has lost no acknowledged write', async () => {
    const disk = makeDisk(160);
    const server = await startOwnServer({ dir: disk, settings: '-c max_wal_size=32MB -c min_wal_size=32MB -c wal_recycle=off' });
    const daemon = await spawnDaemon(server.env);
    const { token } = await newTenant(daemon.url);
    await survive('disk full under the log', { url: daemon.url, allowed: ['507'] }, async () => {
      const fill = fillDisk(disk);
      await untilRefused(daemon.url, token);
      await sleep(3000);
      rmSync(fill);
      await server.stop();
      await server.start();
    });
    await daemon.kill('SIGTERM');
    await server.stop();
  });
});

function fillDisk(dir: string): string {
  const { bavail, bsize } = statfsSync(dir);
  const file = join(dir, 'fill');
  writeFileSync(file, Buffer.alloc(bavail * bsize - 128 * 1024));
  return file;
}

/** Writes events until one is rejected, each too long for the existing pages. */
async function untilRefused(url: string, token: string) {
  for (let i = 0; i < 400; i += 1) {
    const text = Array.from({ length: 2000 }, () => Math.random().toString(36).slice(2)).join(' ');
    const answer = await send(url, 'POST', '/v1/events', { body: message(text) }, token);
    if (answer.status !== 201) return answer;
  }
  throw new Error('400 large writes went through on a full disk');
}

function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
