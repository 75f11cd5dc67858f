import { chunk, decide, edit, listed, type Recorded, record, team } from '../edits/client.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';

// S1: edits. They are made through one daemon and checked through both (on PostgreSQL; the embedded engine has one daemon).

let daemons: TestDaemon[];
let alice: Client;
/** A member of the tenant, as a client of each daemon. */
let bobs: Client[];
beforeAll(async () => {
  const first = await startTestDaemon();
  daemons = onEmbedded() ? [first] : [first, await startTestDaemon({}, first.env)];
});
beforeEach(async () => {
  alice = await newTenant(daemons[0]!.url);
  const bob = await newColleague(alice);
  bobs = daemons.map(({ url }) => {
    const request: Client['request'] = async (method, path, asked = {}) => {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${bob.token}`,
          ...(asked.body !== undefined && { 'content-type': 'application/json' }),
        },
        body: asked.body === undefined ? undefined : JSON.stringify(asked.body),
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as never };
    };
    return { ...bob, url, request };
  });
});
afterAll(async () => {
  for (const daemon of daemons.toReversed()) await daemon.stop();
});

interface View {
  search: string[];
  context: string;
  list: unknown;
  watch: unknown;
}

/** Returns what a member sees in a channel through search, context, list and watch. */
async function viewOf(by: Client, { seq }: Recorded, query: string, channel = 'team'): Promise<View> {
  const search = await by.request('POST', '/v1/search', { body: { query, channel } });
  const context = await by.request('POST', '/v1/context?render=text', {
    body: { session_id: 's1', channel, query_text: query, max_tokens: 4000 },
  });
  expect([search.status, context.status]).toEqual([200, 200]);
  return {
    search: search.body.data.map(({ text }: { text: string }) => text),
    context: JSON.stringify([context.body.text, context.body.sections]),
    list: (await listed(by, seq, channel)).content,
    watch: (await watched(by, seq, channel)).content,
  };
}

/** Returns the event with this seq as a follower receives it. */
async function watched(by: Client, seq: number, channel: string) {
  for await (const event of follow(by, seq - 1, channel)) if (event.seq === seq) return event;
  throw new Error('the stream ended');
}

async function* follow(by: Client, after: number, channel = 'team') {
  const abort = new AbortController();
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${by.token}` };
  const response = await fetch(`${by.url}/v1/events?channel=${channel}&after=${after}`, { headers, signal: abort.signal });
  try {
    for await (const { data } of readEvents(response)) if (data) yield JSON.parse(data);
  } finally {
    abort.abort();
  }
}

/** Checks the same through each daemon. */
async function throughEachDaemon(event: Recorded, query: string, expected: (view: View) => void, channel = 'team') {
  for (const bob of bobs) expected(await viewOf(bob, event, query, channel));
}

const OLD = 'the walrus sleeps in Bergen';
const reads =
  (text: string) =>
  ({ search, context, list, watch }: View) => {
    expect(search).toContain(text);
    expect(context).toContain(text);
    expect([list, watch]).toEqual([{ text }, { text }]);
  };
const isGone =
  (...edit_ids: string[]) =>
  ({ search, context, list, watch }: View) => {
    expect([search, context.includes('walrus'), context.includes('otter')]).toEqual([[], false, false]);
    const withheld = { withheld: true, edit_ids };
    expect([list, watch]).toEqual([withheld, withheld]);
  };

/** Returns the original event, as an admin reads it. */
const original = async ({ event_id }: Recorded) => (await alice.request('GET', `/v1/events/${event_id}`)).body;

test('S1 retract: takes effect immediately in search, context, list and watch through every daemon; the event is unchanged; revert restores it', async () => {
  const event = await record(alice, team(OLD));
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD));
  const before = await original(event);
  const { edit_id } = await edit(alice, event.chunk_ids[0]!, 'retract');
  await throughEachDaemon(event, 'walrus Bergen', isGone(edit_id));
  for (const bob of bobs) expect(await chunk(bob, event.chunk_ids[0]!)).toBe(404);
  expect(await original(event)).toEqual({ ...before, edit_ids: [edit_id] });
  await decide(alice, edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD));
  expect(await original(event)).toEqual(before);
});

test('S1 amend: search finds the new text and not the old one', async () => {
  const event = await record(alice, team(OLD));
  const before = await original(event);
  const { edit_id } = await edit(alice, event.chunk_ids[0]!, 'amend', { text: 'an otter dwells near Trondheim' });
  await throughEachDaemon(event, 'otter Trondheim', reads('an otter dwells near Trondheim'));
  await throughEachDaemon(event, 'walrus Bergen', ({ search, context }) => {
    expect([search, context.includes('walrus')]).toEqual([[], false]);
  });
  expect(await original(event)).toEqual({ ...before, edit_ids: [edit_id] });
  await decide(alice, edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD));
  await throughEachDaemon(event, 'otter Trondheim', ({ search }) => expect(search).toEqual([]));
});

test('S1 quarantine: the event is readable only by id', async () => {
  const event = await record(alice, team(OLD));
  const { edit_id } = await edit(alice, event.chunk_ids[0]!, 'quarantine');
  await throughEachDaemon(event, 'walrus Bergen', isGone(edit_id));
  for (const bob of bobs) expect(await chunk(bob, event.chunk_ids[0]!)).toBe(OLD);
  await decide(alice, edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD));
});

test('S1 attenuate: the best hit becomes the last, and the best again', async () => {
  const [one, two] = [
    await record(alice, team('walrus one', { session_id: 'a' })),
    await record(alice, team('walrus two', { session_id: 'b' })),
  ];
  const order = () => Promise.all(bobs.map(async (bob) => (await viewOf(bob, one, 'walrus')).search));
  const [before] = await order();
  expect(before).toHaveLength(2);
  const target = before![0] === 'walrus one' ? one : two;
  const { edit_id } = await edit(alice, target.chunk_ids[0]!, 'attenuate', { importance: 0.2 });
  expect(await order()).toEqual(bobs.map(() => before!.toReversed()));
  await edit(alice, target.chunk_ids[0]!, 'attenuate', { importance_delta: 0.8 });
  expect(await order()).toEqual(bobs.map(() => before));
  await decide(alice, edit_id, 'revert');
  expect(await order()).toEqual(bobs.map(() => before));
});

test('S1 block: hidden in one channel and visible in another', async () => {
  const event = await record(alice, team(OLD, { channel: 'public' }));
  const { edit_id } = await edit(alice, event.chunk_ids[0]!, 'block', { channel: 'public' });
  await throughEachDaemon(event, 'walrus Bergen', isGone(edit_id), 'public');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD), 'team');
  await decide(alice, edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD), 'public');
});

test('S1 combined edits all apply, and reverting one leaves the others in effect', async () => {
  const event = await record(alice, team(OLD, { channel: 'public' }));
  const before = await original(event);
  const target = event.chunk_ids[0]!;
  const amended = await edit(alice, target, 'amend', { text: 'an otter dwells near Trondheim' });
  const weakened = await edit(alice, target, 'attenuate', { importance: 0.5 });
  const blocked = await edit(alice, target, 'block', { channel: 'public' });
  const quarantined = await edit(alice, target, 'quarantine');
  const retracted = await edit(alice, target, 'retract');
  const ids = [amended, weakened, blocked, quarantined, retracted].map(({ edit_id }) => edit_id);
  for (const channel of ['public', 'team', 'private']) {
    await throughEachDaemon(event, 'walrus Bergen', isGone(...ids), channel);
    await throughEachDaemon(event, 'otter Trondheim', isGone(...ids), channel);
  }
  expect(await original(event)).toEqual({ ...before, edit_ids: ids });

  await decide(alice, retracted.edit_id, 'revert');
  await throughEachDaemon(event, 'otter Trondheim', isGone(...ids.slice(0, 4)), 'team');
  for (const bob of bobs) expect(await chunk(bob, target)).toBe('an otter dwells near Trondheim');
  await decide(alice, quarantined.edit_id, 'revert');
  await throughEachDaemon(event, 'otter Trondheim', reads('an otter dwells near Trondheim'), 'team');
  await throughEachDaemon(event, 'otter Trondheim', isGone(...ids.slice(0, 3)), 'public');
  await decide(alice, amended.edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD), 'team');
  await throughEachDaemon(event, 'otter Trondheim', isGone(weakened.edit_id, blocked.edit_id), 'public');
  await decide(alice, blocked.edit_id, 'revert');
  await decide(alice, weakened.edit_id, 'revert');
  await throughEachDaemon(event, 'walrus Bergen', reads(OLD), 'public');
  expect(await original(event)).toEqual(before);
});

test('S1 every edit is an event that connected followers receive through either daemon', async () => {
  const event = await record(alice, team(OLD));
  const told = bobs.map(async (bob) => {
    const seen: [string, unknown][] = [];
    for await (const { kind, content } of follow(bob, event.seq - 1)) {
      seen.push([kind, content]);
      if (seen.length === 5) break;
    }
    return seen;
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { edit_id } = await edit(alice, event.chunk_ids[0]!, 'retract', undefined, {});
  await decide(alice, edit_id, 'approve');
  await decide(alice, edit_id, 'revert');
  const other = await edit(bobs.at(-1)!, event.event_id, 'quarantine', undefined, {});
  await decide(alice, other.edit_id, 'reject');
  const said = (kind: string, of: Record<string, any>) => [kind, expect.objectContaining({ edit_id: of.edit_id })];
  for (const seen of await Promise.all(told))
    expect(seen).toEqual([
      ['message', { text: OLD }],
      said('edit.proposed', { edit_id }),
      said('edit.approved', { edit_id }),
      said('edit.reverted', { edit_id }),
      said('edit.proposed', other),
    ]);
});
