import { newTenant } from '../support/client.ts';
import { killSpawned, spawnDaemon, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { acquire, clientAt, record, release, renew, waitForWaiters } from './support.ts';

describeOnServer('two daemons share a database', () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  afterEach(killSpawned);
  afterAll(() => daemon.stop());

  test('requests on two daemons are served in the order of their arrival', async () => {
    const other = await startTestDaemon({}, daemon.env);
    const alice = await newTenant(daemon.url);
    const there = clientAt(other.url, alice);
    const { token } = (await acquire(alice, 'k')).body;
    const served: string[] = [];
    const requests = [];
    const arrivals = ['1', '2', '3', '4', '5', '6'];
    for (const [i, owner] of arrivals.entries()) {
      const client = i % 2 === 0 ? alice : there;
      requests.push(
        acquire(client, 'k', { owner, wait_ms: 8000 }).then(async ({ body }) => {
          served.push(owner);
          await release(client, 'k', body.token, owner);
        }),
      );
      await waitForWaiters(Math.floor(i / 2) + 1, client.url);
    }
    await release(there, 'k', token);
    await Promise.all(requests);
    expect(served).toEqual(arrivals);
    await other.stop();
  });

  test('a daemon that is killed while requests wait there delays the next one until they expire', async () => {
    const spawned = await spawnDaemon(daemon.env);
    const alice = await newTenant(daemon.url);
    const there = clientAt(spawned.url, alice);
    const { token } = (await acquire(alice, 'k')).body;
    const lost = acquire(there, 'k', { owner: 'lost', wait_ms: 3000 }).catch(() => 'broken');
    await waitForWaiters(1, spawned.url);
    await spawned.kill('SIGKILL');
    expect(await lost).toBe('broken');
    await release(alice, 'k', token);
    // the row of the dead request is in the way
    expect((await acquire(alice, 'k', { owner: 'two' })).body).toMatchObject({
      type: '/docs/problems#lease-held',
      owner: 'lost',
    });
    await eventually(
      async () => (await acquire(alice, 'k', { owner: 'two', wait_ms: 8000 })).status === 200,
      'the next request to be served',
    );
  });

  test('a lease, its token and its queue survive a restart', async () => {
    const first = await startTestDaemon({}, daemon.env);
    const alice = await newTenant(first.url);
    const { token } = (await acquire(alice, 'k')).body;
    await first.stop();
    const again = clientAt(daemon.url, alice);
    expect((await record(again, `k;token=${token}`)).status).toBe(201);
    expect((await renew(again, 'k', token)).body.token).toBe(token);
    expect((await acquire(again, 'k', { owner: 'two' })).status).toBe(409);
    expect((await acquire(again, 'k')).body.token).toBeGreaterThan(token);
  });
});
