import { type Client, message, newTenant, send } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { cloneDatabase, describeOnServer, type TestDatabase } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';
import { pathOf, type Row } from './client.ts';

// Watches that move between two daemons while these are killed and restarted, and while both write.

describeOnServer('two daemons share a database', () => {
  let database: TestDatabase;
  let env: Record<string, string>;
  const daemons: SpawnedDaemon[] = [];
  beforeAll(async () => {
    database = await cloneDatabase();
    const { host, port, user, database: name, password } = database.connection;
    env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: name, ...(password && { PGPASSWORD: password }) };
    daemons.push(...(await Promise.all([spawnDaemon(env), spawnDaemon(env)])));
  });
  afterAll(async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill('SIGTERM')));
    await database.release();
  });

  /** Writes state and events to both daemons in turn until stopped. Requests to a daemon that is down fail, which is not an error here. */
  function writeUntil(client: Client, signal: AbortSignal) {
    const acknowledged: number[] = [];
    const writers = [0, 1, 2, 3].map(async (writer) => {
      for (let i = 0; !signal.aborted; i += 1) {
        const url = daemons[(writer + i) % 2]!.url;
        const body = { body: { i }, tags: { parity: i % 2 === 0 ? 'even' : 'odd' } };
        const asked = [
          () => send(url, 'PUT', pathOf(`${writer}/${i % 7}`), { body }, client.token),
          () => send(url, 'POST', '/v1/events', { body: message(`${i}`) }, client.token),
          () => send(url, 'DELETE', pathOf(`${writer}/${(i + 3) % 7}`), {}, client.token),
        ][i % 3]!;
        const answer = await asked().catch(() => undefined);
        const seq = (answer?.body as Row | undefined)?.commit_seq;
        if (seq) acknowledged.push(seq);
      }
    });
    return { acknowledged, ended: Promise.all(writers) };
  }

  /** A watcher that reconnects, to the other daemon, whenever its stream ends. */
  async function watchAll(
    client: Client,
    query: string,
    start: string,
    signal: AbortSignal,
    seen: { id: number; event: string }[],
  ) {
    let last: string | undefined;
    for (let turn = 0; !signal.aborted; turn += 1) {
      const headers = { accept: 'text/event-stream', authorization: `Bearer ${client.token}` };
      const position = last === undefined ? start : '';
      const url = `${daemons[turn % 2]!.url}/v1/state/agent%3A%2F%2Fdemo?${query}${position}`;
      try {
        const response = await fetch(url, {
          headers: { ...headers, ...(last !== undefined && { 'last-event-id': last }) },
          signal,
        });
        if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
        for await (const { id, event, data } of readEvents(response)) {
          if (data) seen.push({ id: Number(id), event: event! });
          if (id !== undefined) last = id;
        }
      } catch (error) {
        if (/^\d/.test((error as Error).message) && !/^503/.test((error as Error).message)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  test('no change is missed or repeated while daemons are killed, stopped and restarted', async () => {
    const alice = await newTenant(daemons[0]!.url);
    const [writing, watching] = [new AbortController(), new AbortController()];
    const all: { id: number; event: string }[] = [];
    const odd: { id: number; event: string }[] = [];
    const watchers = [
      watchAll(alice, '', 'from_commit=1', watching.signal, all),
      watchAll(alice, 'tag=parity:odd', '&from_commit=1', watching.signal, odd),
    ];
    const { acknowledged, ended } = writeUntil(alice, writing.signal);
    const progress = async () => {
      const from = all.length;
      while (all.length < from + 40) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    for (const [which, signal] of [
      [0, 'SIGKILL'],
      [1, 'SIGTERM'],
      [0, 'SIGKILL'],
    ] as const) {
      await progress();
      await daemons[which]!.kill(signal);
      await progress();
      daemons[which] = await spawnDaemon(env);
    }
    await progress();
    writing.abort();
    await ended;
    const log = await recorded(alice);
    const final = log.at(-1)!.seq;
    while ((all.at(-1)?.id ?? 0) < final) await new Promise((resolve) => setTimeout(resolve, 20));
    const expectedOdd = log.filter(({ before, after }) => before === 'odd' || after === 'odd').map(({ seq }) => seq);
    while ((odd.at(-1)?.id ?? 0) < expectedOdd.at(-1)!) await new Promise((resolve) => setTimeout(resolve, 20));
    watching.abort();
    await Promise.all(watchers);
    expect(all.map(({ id }) => id)).toEqual(log.map(({ seq }) => seq));
    expect(odd.map(({ id }) => id)).toEqual(expectedOdd);
    expect(acknowledged.filter((seq) => !all.some(({ id }) => id === seq))).toEqual([]);
    expect(all.some(({ event }) => event === 'delete')).toBe(true);
  }, 120_000);

  /** Returns the changes of state in the log, with the tag of the object before and after each. */
  async function recorded(client: Client): Promise<{ seq: number; before: string | undefined; after: string | undefined }[]> {
    const changes: { seq: number; before: string | undefined; after: string | undefined }[] = [];
    const tags = new Map<string, string | undefined>();
    let cursor = '';
    do {
      const { body } = await send(daemons[1]!.url, 'GET', `/v1/events?channel=team&limit=1000${cursor}`, {}, client.token);
      for (const { seq, kind, content } of (body as Row).data) {
        if (!kind.startsWith('state.')) continue;
        const after = kind === 'state.put' ? content.tags.parity : undefined;
        changes.push({ seq, before: tags.get(content.key), after });
        tags.set(content.key, after);
      }
      cursor = (body as Row).next_cursor ? `&cursor=${(body as Row).next_cursor}` : '';
    } while (cursor);
    return changes;
  }
});
