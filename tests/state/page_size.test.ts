import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { dumpState } from '../../src/snapshots/index.ts';
import { trimBefore } from '../snapshots/support.ts';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { keysOf, list, put } from './client.ts';

// Pages of large objects, and dumps of several pages.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a page has about 4 MiB of bodies as they are read, however small they are stored', async () => {
  const alice = await newTenant(daemon.url);
  const body = { text: 'a '.repeat(400_000) };
  const keys = Array.from({ length: 12 }, (_, i) => `k${String(i).padStart(2, '0')}`);
  for (const key of keys) expect((await put(alice, key, { body, tags: { size: 'large' } })).status).toBe(201);
  for (const query of ['?limit=50', '?limit=50&tag=size:large']) {
    const first = await list(alice, query);
    expect(first.data).toHaveLength(6);
    const second = await list(alice, `${query}&cursor=${first.next_cursor}`);
    expect([...keysOf(first), ...keysOf(second)]).toEqual(keys);
  }
});

describeOnServer('the embedded engine admits one process at a time', () => {
  test('a dump of an earlier moment ends with an error once a trim has passed the moment', async () => {
    const alice = await newTenant(daemon.url);
    for (let i = 0; i < 60; i++) await put(alice, `k${i}`, { body: i });
    await put(alice, 'k0', { body: 'new' });
    await put(alice, 'k1', { body: 'new' });
    const database = await openDatabase(loadConfig({ ...daemon.env, NODE_ENV: 'test' }), createLogger('silent'));
    try {
      const dump = dumpState(database.tenants(alice.tenant_id), { at: { seq: 60 }, namespace: undefined });
      expect((await dump.next()).value).toMatchObject({ key: 'k0', body: 0 });
      await trimBefore(alice, 62);
      const rest = async () => {
        let count = 0;
        for await (const _ of dump) count += 1;
        return count;
      };
      await expect(rest()).rejects.toMatchObject({ type: 'gone' });
    } finally {
      await database.close();
    }
  });
});
