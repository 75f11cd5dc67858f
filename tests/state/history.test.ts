import { type Client, newTenant } from '../support/client.ts';
import { killSpawned, type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { type Acquisition, anomaliesIn, type History, type Logged, type Operation } from './history.ts';

// Concurrent clients of two daemons, one of which is killed, record what they asked and were answered. Compare-and-set and fences are
// linearisable by this history.

/** Number of operations; `.ci/long` sets it. */
const OPERATIONS = Number(process.env.HISTORY_OPERATIONS ?? 3000);
/** Operations of a round, which has a tenant of its own and one kill. */
const ROUND = 50_000;
const CLIENTS = 12;
const KEYS = 5;
const NAMESPACE = 'agent://history';
const LEASE_MS = 150;

type Row = Record<string, any>;
interface Answer {
  status: number;
  body: Row;
}

afterAll(killSpawned);

describeOnServer('two daemons share a database', () => {
  const daemons: SpawnedDaemon[] = [];
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  beforeAll(async () => {
    database = await daemonDatabase();
    daemons.push(...(await Promise.all([spawnDaemon(database.env), spawnDaemon(database.env)])));
  });
  afterAll(async () => {
    await Promise.all(daemons.map(({ kill }) => kill('SIGTERM')));
    await database.release();
  });

  test(
    `${OPERATIONS} concurrent operations are linearisable, also if a daemon is killed`,
    async () => {
      for (let left = OPERATIONS; left > 0; left -= ROUND) await runRound(Math.min(left, ROUND), left);
    },
    120_000 + OPERATIONS * 20,
  );

  async function runRound(operations: number, nth: number): Promise<void> {
    const alice = await newTenant(daemons[0]!.url);
    const recorder = new Recorder(alice, daemons, operations);
    const clients = Array.from({ length: CLIENTS }, (_, i) => recorder.run(i));
    const victim = nth % daemons.length;
    await recorder.reached(operations / 2);
    await daemons[victim]!.kill('SIGKILL');
    daemons[victim] = await spawnDaemon(database.env);
    await Promise.all(clients);
    const { history } = recorder;
    history.log = await readLog(daemons[0]!.url, alice);
    expect(anomaliesIn(history)).toEqual([]);
    const outcomes = new Set(history.operations.map(({ outcome }) => outcome));
    expect([...outcomes]).toEqual(expect.arrayContaining(['done', 'absent', 'conflict', 'stale']));
  }
});

/** Sends the operations of concurrent clients and records them. */
class Recorder {
  readonly history: History = { operations: [], acquisitions: [], log: [] };
  private readonly client: Client;
  private readonly daemons: SpawnedDaemon[];
  private readonly operations: number;
  private begun = 0;

  constructor(client: Client, daemons: SpawnedDaemon[], operations: number) {
    [this.client, this.daemons, this.operations] = [client, daemons, operations];
  }

  async reached(count: number): Promise<void> {
    while (this.begun < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async run(client: number): Promise<void> {
    const versions = new Map<string, number>();
    for (let n = 0; this.begun < this.operations; n += 1) {
      if (n % 12 === client) await this.underLease(client, n);
      else await this.change(`k${pick(KEYS)}`, versions);
    }
  }

  /** Sends a request to one of the daemons. Returns undefined if it cannot be known whether it took effect. */
  private async ask(method: string, path: string, body?: Row, headers: Row = {}): Promise<Answer | undefined> {
    this.begun += 1;
    const repeats = headers['idempotency-key'] !== undefined;
    for (let attempt = 0; ; attempt += 1) {
      const url = this.daemons[pick(this.daemons.length)]!.url;
      const answer = await send(url + path, method, this.client.token, body, headers).catch(() => undefined);
      if (answer && answer.status < 500 && answer.status !== 408) return answer;
      if (!repeats || attempt === 200) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Reads or changes an object, often on the condition that it still has the version that this client saw last. */
  private async change(key: string, versions: Map<string, number>): Promise<void> {
    const kind = Math.random();
    const version = versions.get(key);
    const operation: Operation = { key, kind: kind < 0.4 ? 'read' : 'write', value: null, outcome: 'unknown', start: 0, end: 0 };
    if (kind >= 0.4 && kind < 0.92) operation.value = newValue();
    if (kind >= 0.5) operation.expects = version ?? 'new';
    if (operation.value === null && version === undefined) delete operation.expects;
    const seen = await this.perform(operation);
    if (seen === undefined) versions.delete(key);
    else versions.set(key, seen);
  }

  /** Writes under a lease: while it is held, and after it was released or has expired. */
  private async underLease(client: number, n: number): Promise<void> {
    const lease = `lease${pick(2)}`;
    const owner = `${client}/${n}`;
    const start = now();
    const answer = await this.ask('PUT', `/v1/leases/${lease}`, { owner, ttl_ms: LEASE_MS, wait_ms: 500 });
    if (answer?.status !== 200) return;
    const { token, expires_at } = answer.body;
    const held: Acquisition = { lease, owner, token, expires_at, start, end: now() };
    this.history.acquisitions.push(held);
    const write = () =>
      this.perform({
        key: lease,
        kind: 'write',
        value: newValue(),
        fence: { lease, token },
        outcome: 'unknown',
        start: 0,
        end: 0,
      });
    await write();
    const late = [write(), write()];
    if (Math.random() < 0.8) {
      held.released = now();
      await this.ask('DELETE', `/v1/leases/${lease}?owner=${encodeURIComponent(owner)}&token=${token}`);
    } else await new Promise((resolve) => setTimeout(resolve, LEASE_MS * Math.random() * 2));
    await Promise.all([...late, write()]);
  }

  /** Sends and records an operation. Returns the version that the object has after it; undefined if there is none. */
  private async perform(operation: Operation): Promise<number | undefined> {
    operation.start = now();
    const answer = await this.ask(...requestOf(operation));
    operation.end = answer ? now() : Number.POSITIVE_INFINITY;
    if (answer) read(operation, answer);
    this.history.operations.push(operation);
    return operation.outcome === 'done' && operation.value !== null ? operation.version : undefined;
  }
}

let values = 0;
const newValue = () => ++values;
const now = () => performance.timeOrigin + performance.now();
const pick = (count: number) => Math.floor(Math.random() * count);

async function send(url: string, method: string, token: string, body: Row | undefined, headers: Row): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
}

function requestOf({ key, kind, value, expects, fence }: Operation): [string, string, Row?, Row?] {
  const path = `/v1/state/${encodeURIComponent(NAMESPACE)}/${key}`;
  if (kind === 'read') return ['GET', path];
  const headers = {
    ...(fence && { lease: `${fence.lease};token=${fence.token}` }),
    // every other write is repeated until it is answered
    ...(value !== null && value % 2 === 0 && { 'idempotency-key': String(value) }),
  };
  if (value === null) {
    // in a batch, a deletion is answered with its version
    const operation = { op: 'delete', namespace: NAMESPACE, key, ...(typeof expects === 'number' && { if_match: expects }) };
    return ['POST', '/v1/state/batch', { operations: [operation] }, headers];
  }
  const condition = expects === 'new' ? { 'if-none-match': '*' } : expects === undefined ? {} : { 'if-match': `"${expects}"` };
  return ['PUT', path, { body: value }, { ...headers, ...condition }];
}

/** Completes an operation with its answer. */
function read(operation: Operation, { status, body }: Answer): void {
  if (status === 404) operation.outcome = 'absent';
  else if (status === 412) operation.outcome = /stale-lease$/.test(body.type) ? 'stale' : 'conflict';
  else if (status < 300) {
    const { version, commit_seq, body: value } = body.data?.[0] ?? body;
    Object.assign(operation, { outcome: 'done', version, seq: commit_seq, ...(operation.kind === 'read' && { value }) });
  } else throw new Error(`${status} ${JSON.stringify(body)}`);
}

async function readLog(url: string, { token }: Client): Promise<Logged[]> {
  const log: Logged[] = [];
  let cursor = '';
  do {
    const { body } = await send(`${url}/v1/events?channel=team&order=asc&limit=1000${cursor}`, 'GET', token, undefined, {});
    for (const { seq, kind, content, created_at: at } of body.data) {
      const { key, owner, version, body: value } = content;
      log.push({ seq, kind, key, at, ...(kind.startsWith('lease.') ? { owner } : { version, value: value ?? null }) });
    }
    cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
  } while (cursor !== '');
  return log;
}
