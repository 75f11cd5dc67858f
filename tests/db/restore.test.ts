import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newTenant, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

const refusal = /restored from a backup/;

// Daemons do not serve a restored database until the erasures have been replayed.

describeOnServer('a copy of its directory is the same database; the ledger detects it (docs/backup.md)', () => {
  const admin = (text: string, database?: string) => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('this needs a server');
    return withClient({ ...engine.cluster.admin, ...(database && { database }) }, (client) => client.query(text));
  };
  /** Creates a database that a daemon has served. */
  async function served() {
    const copy = await daemonDatabase();
    const daemon = await startTestDaemon({}, copy.env);
    await newTenant(daemon.url);
    await daemon.stop();
    const env = copy.env as Record<string, string>;
    return { env, name: env.PGDATABASE!, release: copy.release };
  }
  const open = (env: Record<string, string>) =>
    execFileSync(join(import.meta.dirname, '../../node_modules/.bin/tsx'), ['scripts/erasures.ts', '--no-ledger'], {
      env: { PATH: process.env.PATH, NODE_ENV: 'test', ...env },
      encoding: 'utf8',
    });

  test('in another database of the cluster', async () => {
    const { env, name, release } = await served();
    const copy = `${name}_copy`;
    try {
      await admin(`create database ${copy} template ${name} owner ${env.PGUSER}`);
      await expect(startTestDaemon({}, { ...env, PGDATABASE: copy })).rejects.toThrow(refusal);
      expect(open({ ...env, PGDATABASE: copy })).toBe('Daemons can now start on the database.\n');
      for (const database of [copy, name]) await (await startTestDaemon({}, { ...env, PGDATABASE: database })).stop();
    } finally {
      await admin(`drop database if exists ${copy} with (force)`);
      await release();
    }
  });

  test('on a server that was recovered to an earlier moment', async () => {
    const { env, name, release } = await served();
    try {
      // scripts/pitr.sh writes it to postgresql.auto.conf
      await admin(`alter database ${name} set agent_memory.restored = '20261129T120000Z-1'`);
      await expect(startTestDaemon({}, env)).rejects.toThrow(refusal);
      open(env);
      await (await startTestDaemon({}, env)).stop();
      await admin(`alter database ${name} set agent_memory.restored = '20261130T120000Z-2'`);
      await expect(startTestDaemon({}, env)).rejects.toThrow(refusal);
    } finally {
      await release();
    }
  });

  test.each([
    ['over its rows', 'truncate installation'],
    ['over its rows, one by one', 'delete from installation'],
  ])('in the same database, a dump put back %s', async (_how, clear) => {
    const { env, name, release } = await served();
    try {
      // the rows are rewritten, which is the only trace
      await admin('create table kept (like installation including all)', name);
      await admin('insert into kept select * from installation', name);
      await admin(`${clear}; grant select, insert, update on installation to agent_memory_app`, name);
      await admin('insert into installation select * from kept', name);
      await expect(startTestDaemon({}, env)).rejects.toThrow(refusal);
      open(env);
      for (let i = 0; i < 2; i += 1) await (await startTestDaemon({}, env)).stop();
      await admin('vacuum (full, freeze) installation', name);
      await (await startTestDaemon({}, env)).stop();
    } finally {
      await release();
    }
  });

  test('a running daemon does not serve a database that replaces its own', async () => {
    const { env, name, release } = await served();
    const daemon = await startTestDaemon({}, env);
    const become = async (place: string, status: number) => {
      await admin(place, name);
      await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' and pid <> pg_backend_pid()`);
      const request = () => send(daemon.url, 'GET', '/ready');
      for (let i = 0; i < 200 && (await request()).status !== status; i += 1) await sleep(50);
      expect((await request()).status).toBe(status);
    };
    try {
      await become(`update installation set place = 'elsewhere'`, 503);
      const body = { tenant_id: 'any', username: 'any', password: 'correct horse 9 battery' };
      expect((await send(daemon.url, 'POST', '/auth/login', { body })).status).toBe(503);
      await become('select confirm_restore()', 200);
    } finally {
      await daemon.stop();
      await release();
    }
  });
});

test('a database that was never served is confirmed implicitly', async () => {
  const copy = await daemonDatabase();
  for (let i = 0; i < 2; i += 1) await (await startTestDaemon({}, copy.env)).stop();
  await copy.release();
});
