import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { openErasures } from '../../src/tenants/erase.ts';
import { closeTenant, eraseBatch } from '../../src/tenants/sql.ts';
import { type Call, clientOf, makeOwner } from '../auth/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

const log = createLogger('silent');
let own: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
let tenants: { doomed: string; kept: string };
beforeAll(async () => {
  own = await daemonDatabase();
  const daemon = await startTestDaemon({}, own.env);
  tenants = await fill(clientOf(daemon.url));
  await daemon.stop();
  database = await openDatabase(loadConfig({ ...own.env, NODE_ENV: 'test', LOG_LEVEL: 'silent' }), log);
});
afterAll(async () => {
  await database.close();
  await own.release();
});

async function fill(call: Call) {
  const [doomed, kept] = [await makeOwner(call), await makeOwner(call)];
  const events = Array.from({ length: 1000 }, (_, i) => ({
    session_id: 's',
    channel: 'team',
    actor: { type: 'tool', id: 'sh' },
    kind: 'tool_result',
    content: { tool: 'sh', excerpt_text: `line ${i} ${i % 200 === 0 ? 'x'.repeat(70_000) : ''}` },
  }));
  for (const { token } of [doomed, kept]) {
    const { status } = await call('POST', '/v1/events', { token, body: { events } });
    if (status !== 201) throw new Error(`not recorded: ${status}`);
  }
  return { doomed: doomed.tenant_id, kept: kept.tenant_id };
}

const TABLES = ['tenants', 'tenant_clocks', 'events', 'chunks', 'artifacts', 'users', 'sessions', 'refresh_tokens'];
const counts = (tenant_id: string) =>
  database.tenants(tenant_id).read(async (db) => {
    const found: number[] = [];
    for (const table of TABLES) found.push((await db.row<{ n: number }>(`select count(*) as n from ${table}`))!.n);
    return found;
  });

test('eraseBatch removes nothing of an active tenant', async () => {
  const before = await counts(tenants.kept);
  expect(await eraseBatch(database.tenants(tenants.kept), 1000, 0)).toBe('empty');
  expect(await counts(tenants.kept)).toEqual(before);
  expect(before.every((n) => n > 0)).toBe(true);
});

test('a deletion stops writes first, can be resumed by another daemon, and affects no other tenant', async () => {
  const doomed = database.tenants(tenants.doomed);
  const before = await counts(tenants.kept);
  await doomed.write((db) => closeTenant(db, doomed.id));
  expect(await eraseBatch(doomed, 0, 300)).toBe('more');
  // how much 5 ms remove depends on the machine; the clock row goes long before the rest
  for (let i = 0; i < 100 && (await counts(doomed.id))[1] !== 0; i += 1) expect(await eraseBatch(doomed, 5, 300)).toBe('more');
  expect((await counts(doomed.id))[1]).toBe(0);
  await expect(doomed.commit({ key: null, body: null, bytes: 1, events: [] })).rejects.toMatchObject({ code: 'AM404' });

  const reserving = openErasures(database.tenants, log, 300);
  await reserving.resume();
  expect(await counts(doomed.id)).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
  await reserving.stop();
  await sleep(10);
  const releasing = openErasures(database.tenants, log, 0);
  await releasing.resume();
  await releasing.stop();
  expect(await counts(doomed.id)).toEqual(TABLES.map(() => 0));
  expect(await counts(tenants.kept)).toEqual(before);
});
