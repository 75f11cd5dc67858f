import fc from 'fast-check';
import { exportTenant, failedChecks, importFile, jobDone } from '../export/file.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { done, get, listAllMemories, previewTrim, type Row, recordMessages, say, trim, usage } from './support.ts';

// A trim carries the events that current memories and capsules need, so that every response about them stays the same.

const SEED = Number(process.env.CARRIED_SEED ?? Date.now() % 2 ** 31);
const RUNS = Number(process.env.CARRIED_RUNS ?? 4);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const HELD = ['active', 'proposed'];

/** Returns what each route returns about each current memory. */
async function readEverything(client: Client): Promise<Record<string, Row>> {
  const held = (await listAllMemories(client)).filter(
    ({ status, kind, body }) => HELD.includes(status) && !(kind === 'task' && body.status === 'done'),
  );
  const context = await done(client, 'POST', '/v1/context', {
    channel: 'team',
    session_id: 's9',
    query: WORDS,
    max_tokens: 100_000,
  });
  const stated: Row[] = context.sections.filter(({ name }: Row) => name !== 'recent_window').flatMap(({ items }: Row) => items);
  const all: Record<string, Row> = {};
  for (const { memory_id } of held) {
    const { status, headers, body } = await get(client, memory_id);
    const found = await done(client, 'POST', '/v1/search', { channel: 'team', query: body.text, limit: 200, per_event: 200 });
    const hit = found.data.find((one: Row) => one.memory_id === memory_id);
    all[memory_id] = {
      read: { status, etag: headers.get('etag'), ...body },
      hit: hit && { text: hit.text, occurred_at: hit.occurred_at, refs: hit.refs, grounded: hit.grounded },
      stated: stated.some(({ text }) => text.includes(body.text)),
    };
  }
  return all;
}

/** Compares the responses, except for ids of dropped events. */
function expectAsBefore(before: Record<string, Row>, after: Record<string, Row>): void {
  expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
  for (const [id, was] of Object.entries(before)) {
    const is = after[id]!;
    const { refs, ref_count: _count, ...rest } = is.read;
    const { refs: hadRefs, ref_count: _had, ...had } = was.read;
    expect(rest).toEqual(had);
    expect(hadRefs).toEqual(expect.arrayContaining(refs));
    expect([id, is.stated]).toEqual([id, was.stated]);
    if (was.hit) {
      const { refs: some, ...shown } = is.hit;
      const { refs: more, ...wasShown } = was.hit;
      expect(shown).toEqual(wasShown);
      expect(more).toEqual(expect.arrayContaining(some));
    }
  }
}

const THINGS = ['crane', 'ferry', 'harbour', 'lighthouse'];
const WORDS = `${THINGS.join(' ')} tide decided task`;
const nth = fc.nat(9);
const kinds = fc.constantFrom('fact', 'note', 'summary');
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('say' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('claim' as const),
      kind: kinds,
      thing: fc.nat(3),
      refs: fc.array(nth, { maxLength: 3 }),
      cites: fc.constantFrom('event', 'passage', 'memory', 'artifact'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('decide' as const), thing: fc.nat(3), refs: fc.array(nth, { maxLength: 2 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('task' as const),
      thing: fc.nat(3),
      status: fc.constantFrom('open', 'doing', 'done'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('bytes' as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('replace' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('pin' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('amend' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('weaken' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('trim' as const), keep: fc.nat(8) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

interface World {
  owner: Client;
  events: Row[];
  artifacts: Row[];
  memories: Row[];
  words: number;
}
const at = <T>(list: T[], i: number): T | undefined => list[i % Math.max(1, list.length)];

function cited({ events, artifacts, memories }: World, cites: string, refs: number[]): string[] {
  return refs.flatMap((i) => {
    if (cites === 'memory') return at(memories, i)?.memory_id ?? [];
    if (cites === 'artifact') return at(artifacts, i)?.artifact_id ?? [];
    const event = at(events, i);
    return (cites === 'passage' ? event?.chunk_ids[0] : event?.event_id) ?? [];
  });
}

/** Sends a request that may fail, because an old id may no longer exist. */
async function attempt(world: World, method: string, path: string, body?: Row): Promise<Row | undefined> {
  const answer = await world.owner.request(method, path, body && { body });
  if (answer.status >= 300) expect([404, 409, 410, 422]).toContain(answer.status);
  return answer.status < 300 ? answer.body : undefined;
}

async function edit(world: World, { memory_id: target }: Row, op: 'amend' | 'weaken'): Promise<void> {
  const patch =
    op === 'amend'
      ? { op: 'amend', patch: { text: `The tide, amended ${world.words}.` } }
      : { op: 'attenuate', patch: { importance: 0.2 } };
  await attempt(world, 'POST', '/v1/edits', { target, reason: 'r', auto_approve: true, ...patch });
}

async function take(world: World, given: Step): Promise<void> {
  const { owner, events, artifacts, memories } = world;
  const memory = 'nth' in given ? at(memories, given.nth) : undefined;
  const path = `/v1/memories/${memory?.memory_id}`;
  world.words += 1;
  switch (given.op) {
    case 'say':
      return void events.push(await say(owner, `The tide table, page ${world.words}.`));
    case 'bytes': {
      const headers = { 'content-type': 'text/plain' };
      return void artifacts.push(
        (await owner.request('POST', '/v1/artifacts?channel=team', { body: `log ${world.words}`, headers })).body,
      );
    }
    case 'claim': {
      const refs = cited(world, given.cites, given.refs);
      const made = await attempt(world, 'POST', '/v1/memories', {
        channel: 'team',
        kind: given.kind,
        text: `The ${THINGS[given.thing]} is known.`,
        refs,
      });
      return void (made && memories.push(made));
    }
    case 'decide': {
      const refs = cited(world, 'event', given.refs);
      const content = { decision: `We decided on the ${THINGS[given.thing]}, ${world.words}.` };
      const made = await attempt(world, 'POST', '/v1/events', {
        ...message(''),
        channel: 'team',
        kind: 'decision',
        content,
        refs,
      });
      return void (made && memories.push(made) && events.push(made));
    }
    case 'task': {
      const content = { task_id: `t${given.thing}`, title: `A task about the ${THINGS[given.thing]}`, status: given.status };
      const made = await attempt(world, 'POST', '/v1/events', { ...message(''), channel: 'team', kind: 'task_update', content });
      return void (made && memories.push(made));
    }
    case 'replace': {
      const body = { kind: memory?.kind ?? 'fact', text: `The tide said otherwise, ${world.words}.`, channel: 'team' };
      const made = memory && (await attempt(world, 'POST', `${path}/supersede`, body));
      return void (made && memories.push(made));
    }
    case 'delete':
    case 'pin': {
      const [method, body] = given.op === 'pin' ? (['PATCH', { pinned: true }] as const) : (['DELETE'] as const);
      return void (memory && (await attempt(world, method, path, body)));
    }
    case 'amend':
    case 'weaken':
      return memory && edit(world, memory, given.op);
    case 'trim':
      return void (await trim(owner, given.keep));
  }
}

test('every current memory is read, found and stated after a trim as before, also after an import of its export', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 12, maxLength: 30 }), async (steps) => {
      const owner = await newTenant(daemon.url);
      const world: World = { owner, events: [], artifacts: [], memories: [], words: 0 };
      for (const one of steps) await take(world, one);
      await recordMessages(owner, 6);
      const before = await readEverything(owner);
      const foreseen = await previewTrim(owner, 5);
      const trimmed = await trim(owner, 5);
      expect([trimmed.oldest_seq, trimmed.counts.trimmed, trimmed.counts.carried]).toEqual([
        foreseen.oldest_seq,
        foreseen.trimmed,
        foreseen.carried,
      ]);
      const { oldest_seq, last_seq, events } = await usage(owner);
      expect([oldest_seq, events]).toEqual([last_seq - 4, 5 + trimmed.counts.carried]);
      expectAsBefore(before, await readEverything(owner));
      const log = (await done(owner, 'GET', '/v1/events?channel=team&order=asc&limit=1000')).data;
      expect(log.map(({ seq }: Row) => seq)).toEqual([...Array(5)].map((_, i) => oldest_seq + i));
      expect(await failedChecks(owner)).toEqual([]);
      // a second trim does nothing
      const again = await trim(owner, 5);
      expect([again.counts.trimmed, again.counts.carried]).toEqual([0, trimmed.counts.carried]);
      const copy = await newTenant(daemon.url);
      const brought = await importFile(copy, await exportTenant(owner));
      expect([brought.status, brought.body.detail]).toEqual([202, undefined]);
      await jobDone(copy, brought.body.job_id);
      expectAsBefore(await readEverything(owner), await readEverything(copy));
      expect([await failedChecks(copy), (await usage(copy)).oldest_seq]).toEqual([[], oldest_seq]);
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
}, 240_000);
