import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { readChangingRows, writeFull } from '../../src/export/full.ts';
import { createLogger } from '../../src/log.ts';
import { createMemory, recordMessages, say, trim, usage } from '../retention/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { linesOf } from './file.ts';

// Changes of the log during an export.

describeOnServer('a test cannot open a second connection', () => {
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemon: TestDaemon;
  let database: Database;
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    daemon = await startTestDaemon({}, testDatabase.env);
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
    await testDatabase.release();
  });

  /** Runs `meanwhile` between the mutable tables and the log. Returns the written lines and the error. */
  async function exportWhile(client: Client, meanwhile: () => Promise<unknown>) {
    const tenant = database.tenants(client.tenant_id);
    const start = await readChangingRows(tenant, { spool_dir: '/tmp', oneSession: false });
    const written: string[] = [];
    const out = { write: async (lines: string | Buffer) => void written.push(lines.toString()), digest: () => '' };
    await meanwhile();
    const failure: unknown = await writeFull(tenant, start, out, async () => undefined).then(
      () => undefined,
      (error) => error,
    );
    await start.spool.close();
    return { types: linesOf(written.join('')).map(({ type }) => type), failure };
  }

  async function filled(): Promise<Client> {
    const owner = await newTenant(daemon.url);
    const recorded = await say(owner, 'The crane broke on Monday.');
    await createMemory(owner, { kind: 'fact', text: 'The crane is broken.', refs: [recorded.event_id] });
    await recordMessages(owner, 8);
    return owner;
  }

  test('appends do not affect the export', async () => {
    const owner = await filled();
    const { types, failure } = await exportWhile(owner, () => recordMessages(owner, 3));
    expect([failure, types.at(-1), types.filter((type) => type === 'event').length]).toEqual([undefined, 'end', 10]);
  });

  const stopped = { failure: expect.objectContaining({ type: 'unavailable' }), types: expect.not.arrayContaining(['end']) };

  test('a trim aborts the export, even if it drops only carried events', async () => {
    const owner = await filled();
    expect(await exportWhile(owner, () => trim(owner, 6))).toEqual(stopped);
    const { oldest_seq } = await usage(owner);
    const [memory] = (await owner.request('GET', '/v1/memories?channel=team')).body.data;
    await owner.request('DELETE', `/v1/memories/${memory.memory_id}`);
    const again = () => trim(owner, 7).then(({ counts }) => expect(counts).toMatchObject({ trimmed: 2 }));
    expect(await exportWhile(owner, again)).toEqual(stopped);
    expect((await usage(owner)).oldest_seq).toBe(oldest_seq);
  });
});
