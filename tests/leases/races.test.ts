import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { acquire, clientAt, release } from './support.ts';

// A fenced write races with the release of its lease and the acquisition by the next owner, on two daemons. The log has one order of all three:
// in this order, no write may appear under a lease that its owner does not hold.

/** Number of races; `.ci/long` sets it. */
const RACES = Number(process.env.LEASE_RACES ?? 240);
const KEYS = 8;
/** The first writer finds the lease held, the last one finds it lost. */
const WRITERS = 4;

describeOnServer('two daemons share a database', () => {
  let daemons: TestDaemon[];
  beforeAll(async () => {
    const first = await startTestDaemon();
    daemons = [first, await startTestDaemon({}, first.env)];
  });
  afterAll(async () => {
    for (const daemon of [...daemons].reverse()) await daemon.stop();
  });

  /** Writes by an append and by a statement of their own, in turn. */
  const write = (client: Client, key: string, owner: string, token: number, nth: number, memory: string) => {
    const headers = { lease: `${key};token=${token}` };
    const text = `${key} ${owner}`;
    return nth % 2 === 0
      ? client.request('POST', '/v1/events', { body: { text, channel: 'team' }, headers })
      : client.request('PATCH', `/v1/memories/${memory}`, { body: { text }, headers });
  };

  /** Repeats a request that was not answered with one of these statuses because the machine is overloaded. */
  async function until<T extends { status: number }>(expected: number[], ask: () => Promise<T>): Promise<T> {
    for (;;) {
      const answer = await ask();
      if (expected.includes(answer.status)) return answer;
      if (![408, 409, 503].includes(answer.status)) throw new Error(`the status is ${answer.status}`);
    }
  }

  /** Runs one race after another for a key. Returns the number of accepted writes. */
  async function race(clients: Client[], key: string, races: number): Promise<number> {
    let accepted = 0;
    const [one, other] = clients as [Client, Client];
    const memory = (await one.request('POST', '/v1/memories', { body: { text: `${key} nobody`, channel: 'team' } })).body
      .memory_id;
    let held = (await acquire(one, key, { owner: '0' })).body;
    for (let i = 1; i <= races; i += 1) {
      const writes = Array.from({ length: WRITERS }, (_, n) =>
        write(clients[n % 2]!, key, held.owner, held.token, n >> 1, memory),
      );
      const next = acquire(other, key, { owner: String(i), wait_ms: 8000 });
      await until([204, 412], () => release(one, key, held.token, held.owner));
      for (const { status } of await Promise.all(writes)) {
        if (status < 300) accepted += 1;
        // on an overloaded machine, a write can wait too long for a lock, or its body arrive too late
        else if (![408, 412, 503].includes(status)) throw new Error(`a write was answered with ${status}`);
      }
      const { status, body } = await next;
      await until([412], () => write(one, key, held.owner, held.token, i, memory));
      const again = () => acquire(one, key, { owner: String(i), wait_ms: 8000 });
      held = status === 200 ? body : (await until([200], again)).body;
    }
    return accepted;
  }

  /** Returns the number of writes in the log, and those whose owner did not hold the lease there. */
  async function anomaliesIn(client: Client): Promise<{ writes: number; anomalies: string[] }> {
    let writes = 0;
    const holders = new Map<string, string | undefined>();
    const anomalies: string[] = [];
    let cursor = '';
    do {
      const { body } = await client.request('GET', `/v1/events?channel=team&order=asc&limit=1000${cursor}`);
      for (const { kind, seq, content } of body.data) {
        if (kind === 'lease.acquired') holders.set(content.key, content.owner);
        else if (kind === 'lease.released') holders.delete(content.key);
        else if (kind !== 'memory.created') {
          const [key, owner] = content.text.split(' ');
          writes += 1;
          if (holders.get(key) !== owner) anomalies.push(`${seq}: ${key} is held by ${holders.get(key)}, written by ${owner}`);
        }
      }
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
    } while (cursor !== '');
    return { writes, anomalies };
  }

  test(
    `no write of ${RACES} races takes effect after its lease was lost`,
    async () => {
      const alice = await newTenant(daemons[0]!.url);
      const clients = daemons.map(({ url }) => clientAt(url, alice));
      const keys = Array.from({ length: KEYS }, (_, i) => `k${i}`);
      const counted = await Promise.all(keys.map((key) => race(clients, key, RACES / KEYS)));
      const accepted = counted.reduce((sum, count) => sum + count, 0);
      const { writes, anomalies } = await anomaliesIn(alice);
      expect(anomalies).toEqual([]);
      // every accepted write is in the log
      expect(writes).toBeGreaterThanOrEqual(accepted);
    },
    60_000 + RACES * 1000,
  );
});
