import { type Call, clientOf, makeOwner } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { minted } from './support.ts';

// The rotation of the AgentState guide, in four steps, on daemons that are restarted one after the other while clients use and mint capabilities.

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString('base64');
const [K1, K2, K3] = [
  { id: 'prod-2024-01', key: keyOf(1) },
  { id: 'prod-2024-02', key: keyOf(2) },
  { id: 'prod-2024-03', key: keyOf(3) },
] as const;
type Key = typeof K1 | typeof K2 | typeof K3;
const settingsOf = (active: Key, next?: Key) => ({
  CAP_KEY_ACTIVE_ID: active.id,
  CAP_KEY_ACTIVE: active.key,
  ...(next && { CAP_KEY_NEXT_ID: next.id, CAP_KEY_NEXT: next.key }),
});
const kidOf = (capability: string) => capability.split('.')[0];

describeOnServer('two daemons need a database that they share', () => {
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemons: TestDaemon[];
  let calls: Call[];
  beforeAll(async () => {
    database = await daemonDatabase();
    daemons = [];
    for (let i = 0; i < 2; i += 1) daemons.push(await startTestDaemon(settingsOf(K1), database.env));
    calls = daemons.map(({ url }) => clientOf(url));
  });
  afterAll(async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await database.release();
  });

  /** Replaces each daemon by one with other keys, one after the other. */
  async function restart(keys: ReturnType<typeof settingsOf>): Promise<void> {
    for (let i = 0; i < daemons.length; i += 1) {
      const old = daemons[i]!;
      daemons[i] = await startTestDaemon(keys, database.env);
      calls[i] = clientOf(daemons[i]!.url);
      await old.stop();
    }
  }

  test('no request is refused, and afterwards only capabilities of the old key are invalid', async () => {
    const owner = await makeOwner(calls[0]!);
    const old = await minted(calls[0]!, owner, { ops: ['ADMIN'] });
    let current = old.capability;
    const statuses: Record<string, number> = {};
    let over = false;
    const count = async (call: Call, token: string) => {
      const { status } = await call('GET', '/v1/snapshots', { token });
      statuses[status] = (statuses[status] ?? 0) + 1;
    };
    const client = async (n: number) => {
      for (let i = n; !over; i += 1) {
        await count(calls[i % 2]!, current);
        // a new capability is valid on the other daemon at once
        const fresh = await minted(calls[i % 2]!, owner, { ops: ['ADMIN'] });
        await count(calls[(i + 1) % 2]!, fresh.capability);
      }
    };
    const clients = [0, 1, 2].map(client);

    try {
      expect(kidOf(current)).toBe(K1.id);
      await restart(settingsOf(K1, K2)); // 1. deploy NEXT alongside ACTIVE
      const update = await minted(calls[1]!, owner, { ops: ['ADMIN'] }); // 2. clients use NEXT
      expect(kidOf(update.capability)).toBe(K2.id);
      current = update.capability;
      await restart(settingsOf(K2, K2)); // 3. promote NEXT to ACTIVE
      await restart(settingsOf(K2, K3)); // 4. a new NEXT
    } finally {
      over = true;
      await Promise.all(clients);
    }

    expect(Object.keys(statuses)).toEqual(['200']);
    const after = async (token: string) =>
      Promise.all(calls.map(async (call) => (await call('GET', '/v1/snapshots', { token })).status));
    expect(await after(current)).toEqual([200, 200]);
    expect(await after(old.capability)).toEqual([401, 401]);
    expect(kidOf((await minted(calls[0]!, owner)).capability)).toBe(K3.id);
  }, 180_000);

  test('the next key signs nothing while another daemon does not verify with it', async () => {
    const owner = await makeOwner(calls[0]!);
    const newer = await startTestDaemon(settingsOf(K3, K1), database.env);
    try {
      const there = clientOf(newer.url);
      expect(kidOf((await minted(there, owner)).capability)).toBe(K3.id);
      await Promise.all(daemons.splice(0).map((daemon) => daemon.stop()));
      expect(kidOf((await minted(there, owner)).capability)).toBe(K1.id);
    } finally {
      await newer.stop();
    }
  });
});
