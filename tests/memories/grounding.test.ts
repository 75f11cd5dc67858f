import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, importFile, jobDone } from '../export/file.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { contextOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Every response agrees on the sources of a memory and on whether it is grounded, after any history.

const SEED = Number(process.env.GROUNDS_SEED ?? Date.now() % 2 ** 31);
const RUNS = Number(process.env.GROUNDS_RUNS ?? 6);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const TEXTS = ['The crane lifts forty tons.', 'The harbour closes at dusk.', 'The ferry sails twice a day.'];
const QUERY = 'crane lifts tons harbour closes dusk ferry sails day';
const SOURCES = 3;
const source = fc.nat(SOURCES - 1);
const claim = fc.nat(TEXTS.length - 1);
const ref = fc.oneof(
  { weight: 4, arbitrary: source.map((i) => ({ source: i })) },
  { weight: 1, arbitrary: source.map((i) => ({ passage: i })) },
  { weight: 2, arbitrary: claim.map((i) => ({ claim: i })) },
  { weight: 1, arbitrary: claim.map((i) => ({ event: i })) },
  { weight: 1, arbitrary: fc.constant({ url: 'https://example.org/minutes' }) },
);
type Ref = Partial<Record<'source' | 'passage' | 'claim' | 'event', number>> & { url?: string };
const refs = fc.array(ref, { maxLength: 3 });
const kind = fc.constantFrom('fact', 'summary');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('create' as const), claim, kind, refs }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('cite' as const), claim, kind, refs }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('reword' as const), claim, kind }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('replace' as const), claim, kind, refs }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), claim, kind }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('retract' as const), source }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('erase' as const), source }) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** A tenant with a random history. */
interface World {
  owner: Client;
  sources: { event_id: string; chunk_ids: string[] }[];
  /** The memories created for each text and kind, newest last. */
  made: Map<string, { memory_id: string; event_id: string }[]>;
  words: number;
}

const keyOf = ({ kind, claim }: { kind: string; claim: number }) => `${kind} ${claim}`;
const newest = (world: World, key: string) => world.made.get(key)?.at(-1);

function named(world: World, given: Ref[]): string[] {
  return given.flatMap((one) => {
    const of = one.claim ?? one.event;
    const memory = of === undefined ? undefined : (newest(world, `fact ${of}`) ?? newest(world, `summary ${of}`));
    if (one.source !== undefined) return [world.sources[one.source]!.event_id];
    if (one.passage !== undefined) return [world.sources[one.passage]!.chunk_ids[0]!];
    return one.url ? [one.url] : memory ? [one.claim === undefined ? memory.event_id : memory.memory_id] : [];
  });
}

async function create(world: World, key: string, path: string, body: Record<string, unknown>): Promise<void> {
  const answer = await world.owner.request('POST', path, { body: { channel: 'team', ...body } });
  // a cited item may have been erased, and a superseded memory may be gone
  if (answer.status !== 201) return expect([404, 409, 410]).toContain(answer.status);
  const { memory_id, event_id } = answer.body;
  world.made.set(key, [...(world.made.get(key) ?? []), { memory_id, event_id }]);
}

async function change(world: World, key: string, method: string, body?: Record<string, unknown>): Promise<void> {
  const memory = newest(world, key);
  if (!memory) return;
  const { status } = await world.owner.request(method, `/v1/memories/${memory.memory_id}`, body && { body });
  expect([200, 204, 404, 409, 410]).toContain(status);
}

async function apply(world: World, given: Step): Promise<void> {
  switch (given.op) {
    case 'create':
      return create(world, keyOf(given), '/v1/memories', {
        kind: given.kind,
        text: TEXTS[given.claim],
        refs: named(world, given.refs),
      });
    case 'cite':
      return change(world, keyOf(given), 'PATCH', { refs: named(world, given.refs) });
    case 'reword':
      world.words += 1;
      return change(world, keyOf(given), 'PATCH', { text: `${TEXTS[given.claim]} Said ${world.words} times.` });
    case 'replace': {
      const old = newest(world, keyOf(given));
      const body = { kind: given.kind, text: `${TEXTS[given.claim]} Indeed.`, refs: named(world, given.refs) };
      return old && create(world, keyOf(given), `/v1/memories/${old.memory_id}/supersede`, body);
    }
    case 'delete':
      return change(world, keyOf(given), 'DELETE');
    case 'retract': {
      const body = { target: world.sources[given.source]!.event_id, op: 'retract', reason: 'wrong', auto_approve: true };
      const { status } = await world.owner.request('POST', '/v1/edits', { body });
      return expect([201, 404, 409]).toContain(status);
    }
    case 'erase':
      return eraseAsPredicted(world, `source-${given.source}`);
  }
}

/** Checks that the dry run and the erasure report the number of memories that are gone afterwards. */
async function eraseAsPredicted({ owner }: World, session_id: string): Promise<void> {
  const previewed = await owner.request('POST', '/v1/erasures', { body: { session_id, dry_run: true } });
  const found = previewed.status === 200 ? previewed.body : (await waitForJob(owner, previewed.body.job_id)).result;
  const before = await everyMemory(owner);
  const { result } = await erase(owner, { session_id });
  const after = new Set((await everyMemory(owner)).map(({ memory_id }) => memory_id));
  const gone = before.filter(({ memory_id }) => !after.has(memory_id)).length;
  expect([found.counts.memories, result.certificate.counts.memories]).toEqual([gone, gone]);
}

interface View {
  memory_id: string;
  text: string;
  kind: string;
  status: string;
  grounded: boolean;
  refs: string[];
}

const everyMemory = async (owner: Client): Promise<View[]> =>
  (await owner.request('GET', '/v1/memories?channel=team&status=any&limit=1000')).body.data;

const stateOf = ({ grounded, refs }: { grounded?: boolean; refs: string[] }) => ({ grounded, refs: refs.toSorted() });

/** Checks that all responses agree on each active memory, and returns their common state. */
async function commonState(owner: Client): Promise<Record<string, unknown>> {
  const listed = (await everyMemory(owner)).filter(({ status }) => status === 'active');
  const search = await owner.request('POST', '/v1/search', { body: { query: QUERY, channel: 'team', limit: 200 } });
  const hits = new Map<string, View & { event_id: string }>(search.body.data.map((hit: View) => [hit.memory_id, hit]));
  const bundle = await contextOf(owner, { session_id: 'asks', channel: 'team', query_text: QUERY });
  const items = new Map(bundle.sections.flatMap((section) => section.items).map((item) => [item.memory_id, item]));
  const leftOut = (reason: string) => bundle.omissions.find((omission) => omission.reason === reason)?.candidates ?? [];
  const states: Record<string, unknown> = {};
  for (const { memory_id, ...of } of listed) {
    const { body: one } = await owner.request('GET', `/v1/memories/${memory_id}`);
    const versions = await owner.request('GET', `/v1/memories/${memory_id}/versions?limit=1000`);
    const { event_id, ...hit } = hits.get(memory_id)!;
    const state = { memory_id, ...stateOf(of) };
    expect({ memory_id, ...stateOf(one as View) }).toEqual(state);
    // a version shows its grounding as of its seq; the memories that it cites may have been grounded since
    const version = versions.body.data.at(-1);
    const then = (await owner.request<View>('GET', `/v1/memories/${memory_id}?as_of_seq=${version.seq}`)).body;
    expect({ memory_id, ...stateOf(version) }).toEqual({ memory_id, ...stateOf(then) });
    expect(stateOf(version).refs).toEqual(state.refs);
    // a hit also cites its own event
    expect({ memory_id, ...stateOf({ ...hit, refs: hit.refs.filter((id: string) => id !== event_id) }) }).toEqual(state);
    const item = items.get(memory_id);
    // a context includes only one of two near duplicates
    const isStated =
      item !== undefined || leftOut('duplicate').some((id) => [memory_id, event_id, `chk_${event_id.slice(4)}_0`].includes(id));
    if (of.kind === 'summary')
      expect([memory_id, isStated, leftOut('ungrounded').includes(memory_id)]).toEqual([memory_id, of.grounded, !of.grounded]);
    if (item) expect(item.refs).toEqual(expect.arrayContaining(of.refs));
    states[memory_id] = state;
  }
  return states;
}

async function importedCopy(owner: Client): Promise<Client> {
  const file = await exportTenant(owner);
  const other = await newTenant(daemon.url);
  const { status, body } = await importFile(other, file);
  expect([status, (await jobDone(other, body.job_id)).state]).toEqual([202, 'done']);
  return other;
}

test(`list, GET, versions, search, context, an erasure's dry run and an import agree on the sources of a memory (seed ${SEED})`, async () => {
  const seen: boolean[] = [];
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const owner = await newTenant(daemon.url);
      const messages = Array.from({ length: SOURCES }, (_, i) =>
        message(`Minutes of meeting ${i}`, { session_id: `source-${i}`, channel: 'team' }),
      );
      const { body } = await owner.request('POST', '/v1/events', { body: { events: messages } });
      const world: World = { owner, sources: body.data, made: new Map(), words: 0 };
      for (const one of steps) await apply(world, one);
      const states = await commonState(owner);
      seen.push(...Object.values(states).map((state) => (state as View).grounded));
      expect(await commonState(await importedCopy(owner))).toEqual(states);
      expect(await failedChecks(owner)).toEqual([]);
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: process.env.GROUNDS_SHRINK === undefined },
  );
  expect(new Set(seen)).toEqual(new Set([true, false]));
}, 300_000);

const request = (owner: Client, body: Record<string, unknown>) =>
  owner.request('POST', '/v1/memories', { body: { channel: 'team', kind: 'summary', ...body } });
const record = async (owner: Client, text: string, more = {}) =>
  (await owner.request('POST', '/v1/events', { body: message(text, { channel: 'team', ...more }) })).body;

test('a claim stays grounded if it is repeated without refs', async () => {
  const owner = await newTenant(daemon.url);
  const { event_id } = await record(owner, 'Minutes of the meeting');
  const { body: first } = await request(owner, { text: TEXTS[0], refs: [event_id] });
  const { body: second } = await request(owner, { text: TEXTS[0] });
  expect(second).toMatchObject({ memory_id: first.memory_id, version: 2, grounded: true, refs: [event_id] });
  expect(await commonState(owner)).toEqual({
    [first.memory_id]: { memory_id: first.memory_id, grounded: true, refs: [event_id] },
  });
});

test('a claim is ungrounded while its only source is retracted, also indirectly', async () => {
  const owner = await newTenant(daemon.url);
  const { event_id } = await record(owner, 'Minutes of the meeting');
  const { body: first } = await request(owner, { text: TEXTS[0], refs: [event_id] });
  const { body: second } = await request(owner, { text: TEXTS[1], refs: [first.memory_id] });
  const grounded = async () => Object.values(await commonState(owner)).map((state) => (state as View).grounded);
  expect([first.grounded, second.grounded, await grounded()]).toEqual([true, true, [true, true]]);
  const body = { target: event_id, op: 'retract', reason: 'wrong', auto_approve: true };
  const { edit_id } = (await owner.request('POST', '/v1/edits', { body })).body;
  expect(await grounded()).toEqual([false, false]);
  expect((await owner.request('POST', `/v1/edits/${edit_id}/revert`)).status).toBe(200);
  expect(await grounded()).toEqual([true, true]);
});

test('as_of and as_of_seq return the sources that a memory had then', async () => {
  const owner = await newTenant(daemon.url);
  const { event_id } = await record(owner, 'Minutes of the meeting');
  const { body: first } = await request(owner, { text: TEXTS[0] });
  // responses truncate times to milliseconds
  const as_of = new Date(Date.parse(first.updated_at) + 1).toISOString();
  await sleep(10);
  const { body: later } = await request(owner, { text: TEXTS[0], refs: [event_id] });
  const then = { as_of_seq: first.seq, as_of };
  for (const [name, value] of Object.entries(then)) {
    const { body: one } = await owner.request('GET', `/v1/memories/${first.memory_id}?${name}=${encodeURIComponent(value)}`);
    const search = await owner.request('POST', '/v1/search', { body: { query: QUERY, channel: 'team', [name]: value } });
    const hit = search.body.data.find((one: any) => one.memory_id === first.memory_id);
    const bundle = await contextOf(owner, { session_id: 'asks', channel: 'team', query_text: QUERY, [name]: value });
    expect([name, one.grounded, one.refs, hit.grounded, hit.refs, bundle.omissions.map(({ reason }) => reason)]).toEqual([
      name,
      false,
      [],
      false,
      [hit.event_id],
      ['ungrounded'],
    ]);
  }
  expect([later.grounded, later.refs]).toEqual([true, [event_id]]);
});

test('GET and search return the same trust and origin after another actor repeats the memory', async () => {
  const owner = await newTenant(daemon.url);
  const statement = { text: TEXTS[0], kind: 'fact', refs: [] };
  const { body: first } = await request(owner, { ...statement, body: { subject: 'crane', unit: 't', value: 40 } });
  await request(owner, { ...statement, actor: { type: 'tool', id: 'scale' } });
  const { body: one } = await owner.request('GET', `/v1/memories/${first.memory_id}`);
  const search = await owner.request('POST', '/v1/search', { body: { query: QUERY, channel: 'team' } });
  const { trust, origin } = search.body.data.find((hit: any) => hit.memory_id === first.memory_id);
  expect([one.trust, one.origin]).toEqual([trust, origin]);
  expect([one.trust, one.version]).toEqual(['approved', 2]);
});

test('a ref to a passage of an erased event passes the consistency check', async () => {
  const owner = await newTenant(daemon.url);
  const { chunk_ids } = await record(owner, 'Minutes of the meeting', { session_id: 'gone' });
  const { event_id } = await record(owner, 'Other minutes');
  await request(owner, { text: TEXTS[0], refs: [chunk_ids[0], event_id] });
  await erase(owner, { session_id: 'gone' });
  expect(await failedChecks(owner)).toEqual([]);
});
