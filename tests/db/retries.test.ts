import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { serviceEventOf, unitOf } from '../../src/db/unit.ts';
import { createLogger } from '../../src/log.ts';
import { sha256Hex, withMemory } from '../../src/memories/effect.ts';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// Retries of units with effects in the group commit.

describeOnServer('a test cannot connect while the daemon runs', () => {
  let daemon: TestDaemon;
  let database: Database;
  beforeAll(async () => {
    daemon = await startTestDaemon();
    database = await openDatabase(loadConfig({ ...daemon.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
  });

  test('a retry of a unit with an effect is a replay', async () => {
    const tenant = database.tenants((await newTenant(daemon.url)).tenant_id);
    const row = serviceEventOf({
      session_id: 's',
      channel: 'team',
      actor_type: 'agent',
      actor_id: 'a',
      kind: 'memory.created',
      content: { text: 'x' },
    });
    const memory_id = `mem_${row.event_id.slice(4)}`;
    const effect = {
      memory_id,
      kind: 'fact',
      scope: 'global',
      text_hash: sha256Hex('x'),
      status: 'active',
      importance: 0.5,
      pinned: false,
    } as const;
    const unit = unitOf({ key: sha256Hex('key'), body: sha256Hex('body') }, [withMemory(row, effect)]);
    const first = await tenant.commit(unit);
    const { made: _, ...known } = first;
    expect(await tenant.commit(unit)).toEqual({ ...known, status: 'replay' });
  });
});
