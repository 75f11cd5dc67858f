import {
  capsuleItems,
  citedItem,
  decisionItem,
  evidenceItem,
  handoffItem,
  pairedItem,
  recentItem,
  ruleItem,
  type ToolPairs,
  taskItem,
} from '../../src/context/items.ts';
import type { ContextEvent, Handoff } from '../../src/context/sql.ts';
import type { Hit, MemoryDetails } from '../../src/search/index.ts';

const none: ToolPairs = new Map();
const memoryOf = (more: Partial<MemoryDetails> = {}): MemoryDetails => ({
  memory_id: 'mem_1',
  kind: 'fact',
  scope: 'team',
  refs: ['evt_0', 'evt_1'],
  grounded: true,
  unsourced: false,
  trust: 'stated',
  origin: { type: 'human', id: 'ann' },
  body: { subject: 'port' },
  ...more,
});
const memoryFields = { memory_id: 'mem_1', scope: 'team', trust: 'stated', origin: { type: 'human', id: 'ann' } };
const eventOf = (more: Partial<ContextEvent> = {}): ContextEvent => ({
  part: 'recent',
  seq: 7,
  event_id: 'evt_1',
  kind: 'message',
  actor_id: 'ann',
  content: { text: 'hello' },
  artifact_id: null,
  superseded: false,
  occurred_at: '2026-01-05T10:00:00.000Z',
  lexemes: ['hello'],
  memory: null,
  ...more,
});
const ofMemory = (memory: Partial<MemoryDetails>, more: Partial<ContextEvent> = {}) =>
  eventOf({ kind: 'memory.created', content: { text: 'hello' }, memory: memoryOf(memory), ...more });

test('a task has the id of its event, and of its memory if it has one', () => {
  expect(taskItem(eventOf({ kind: 'task_update', content: { title: 't', status: 'open' } }))).toEqual({
    type: 'task',
    text: '[open] t',
    refs: ['evt_1'],
    ids: ['evt_1'],
    metadata: {},
    comparedText: 'evt_1',
    lexemes: [],
  });
  expect(taskItem(ofMemory({ kind: 'task', body: {} }, { content: { text: 't', body: { status: 'done' } } }))).toMatchObject({
    text: '[done] t',
    refs: ['mem_1', 'evt_1', 'evt_0'],
    ids: ['mem_1', 'evt_1'],
    metadata: memoryFields,
  });
});

test('a decision shows its date and whether it is superseded', () => {
  const event = eventOf({ kind: 'decision', content: { decision: 'd' } });
  expect(decisionItem(event)).toMatchObject({
    text: '2026-01-05: d',
    comparedText: 'd',
    lexemes: ['hello'],
    ids: ['evt_1'],
    metadata: {},
  });
  expect(decisionItem({ ...event, superseded: true, lexemes: null })).toMatchObject({
    text: '(superseded) 2026-01-05: d',
    comparedText: '(superseded) d',
    lexemes: [],
    metadata: { superseded: true },
  });
  expect(decisionItem(ofMemory({ kind: 'decision' })).ids).toEqual(['mem_1', 'evt_1']);
});

test('a rule shows its scope, and has its claim while it is current', () => {
  const rule = ofMemory({ kind: 'rule', scope: 'policy', claim_scope: 'policy/team', effective_from: 5 });
  expect(ruleItem(rule)).toEqual({
    type: 'rule',
    text: '[policy] hello',
    refs: ['mem_1', 'evt_1', 'evt_0'],
    ids: ['mem_1', 'evt_1'],
    metadata: { ...memoryFields, scope: 'policy' },
    comparedText: 'policy hello',
    lexemes: ['hello'],
    claim: { body: { subject: 'port' }, claim_scope: 'policy/team', effective_from: 5 },
  });
  const bare = ruleItem(ofMemory({ kind: 'preference' }, { content: {}, lexemes: null }));
  expect(bare).toMatchObject({ type: 'preference', text: '[team] ', lexemes: [] });
  expect(bare).not.toHaveProperty('claim');
});

test('the refs of a handoff include what it cites', () => {
  const refs = ['evt_9', 7, 'evt_1', ...Array.from({ length: 300 }, (_, i) => `evt_n${i}`)];
  const handoff = (content: object): Handoff =>
    ({ ...ofMemory({ kind: 'handoff', refs: [] }, { content: { text: 't', body: content } }), session_id: 's' }) as never;
  const item = handoffItem(handoff({ problem: 'p', refs }));
  expect(item.text).toMatch(/^2026-01-05 from ann: p\nt\nrefs: evt_9; evt_1; /);
  expect([item.comparedText, item.ids, item.lexemes]).toEqual([item.text, ['mem_1', 'evt_1'], []]);
  expect(item.refs.slice(0, 3)).toEqual(['mem_1', 'evt_1', 'evt_9']);
  // one of the 256 cited ids is the event itself
  expect(item.refs).toHaveLength(2 + 255);
  expect(handoffItem(handoff({ refs: 'none' })).refs).toEqual(['mem_1', 'evt_1']);
});

test('an event of the recent window shows its actor, date and tool call', () => {
  expect(recentItem(eventOf(), none)).toEqual([
    {
      type: 'text',
      text: '2026-01-05 ann: hello',
      refs: ['evt_1'],
      ids: ['evt_1'],
      comparedText: 'ann hello',
      lexemes: ['hello'],
    },
  ]);
  expect(recentItem(eventOf({ content: { text: ' \n' } }), none)).toEqual([]);
  const pairs: ToolPairs = new Map([[7, { seq: 7, call_seq: 7, tool: 'grep', call_id: 'c1' }]]);
  const call = eventOf({ kind: 'tool_call', content: { tool: 'grep', input: 'x' }, artifact_id: 'art_1' });
  expect(recentItem(call, pairs)).toMatchObject([
    { text: '2026-01-05 ann (tool call c1): grep\nx', artifact_id: 'art_1', toolPart: { seq: 7, ordinal: 0, kind: 'tool_call' } },
  ]);
  expect(recentItem({ ...call, kind: 'tool_result' }, pairs)[0]!.toolPart).toEqual({ seq: 7, ordinal: 0, kind: 'tool_result' });
  expect(recentItem(eventOf({ kind: 'decision', content: { decision: 'd' }, superseded: true }), none)).toMatchObject([
    { type: 'decision', text: '(superseded) 2026-01-05 ann (decision): d' },
  ]);
});

test('short texts are compared together with their actor, and long texts are cut to the limit of the window', () => {
  const words = ['a', 'b', 'c', 'd'];
  expect(recentItem(eventOf({ lexemes: words.slice(1) }), none)[0]!.comparedText).toBe('ann hello');
  expect(recentItem(eventOf({ lexemes: words }), none)[0]!.comparedText).toBe('hello');
  expect(recentItem(eventOf({ lexemes: null }), none)[0]).toMatchObject({ comparedText: 'ann hello', lexemes: [] });
  const shown = (length: number) => recentItem(eventOf({ content: { text: 'x'.repeat(length) } }), none)[0]!.text;
  expect(shown(4_000)).toBe(`2026-01-05 ann: ${'x'.repeat(4_000)}`);
  expect(shown(4_001)).toBe(`2026-01-05 ann: ${'x'.repeat(4_000)} […]`);
});

test('an event that completes a pair shows only its beginning', () => {
  const texts = (content: object) => pairedItem(eventOf({ content: content as never }), none).map(({ text }) => text);
  expect(texts({ text: ' said ', cut: false })).toEqual(['2026-01-05 ann: said']);
  expect(texts({ text: 'said', cut: true })).toEqual(['2026-01-05 ann: said […]']);
  expect([texts({ text: null, cut: false }), texts({ text: ' ', cut: true })]).toEqual([[], []]);
});

test('a cited event is rendered as in the window, a cited memory with its refs and date', () => {
  expect(citedItem(eventOf(), none)).toEqual(recentItem(eventOf(), none));
  const fact = ofMemory({ claim_scope: 'team', effective_from: 3, stated_at: Date.UTC(2025, 5, 1) }, { lexemes: null });
  expect(citedItem(fact, none)).toEqual([
    {
      type: 'fact',
      text: '2025-06-01 ann (fact): hello',
      refs: ['mem_1', 'evt_1', 'evt_0'],
      ids: ['mem_1', 'evt_1'],
      metadata: memoryFields,
      comparedText: 'hello',
      lexemes: [],
      claim: { body: { subject: 'port' }, claim_scope: 'team', effective_from: 3 },
    },
  ]);
  const old = citedItem(
    ofMemory({ claim_scope: 'team', effective_from: 3, kind: 'handoff', grounded: false }, { superseded: true }),
    none,
  );
  expect(old).toMatchObject([
    { type: 'text', text: '2026-01-05 ann (handoff, stated, no source): hello', metadata: { superseded: true } },
  ]);
  expect(old[0]).not.toHaveProperty('claim');
});

const hitOf = (more: Partial<Hit> = {}): Hit =>
  ({ ...eventOf(), event_id: 'evt_1', ordinal: 2, text: ' hello ', tags: [], lexemes: ['hello'], score: 1, ...more }) as Hit;

test('a hit is a passage or, if it belongs to a memory, an item of the kind of the memory', () => {
  const chunk = evidenceItem(hitOf(), none).refs.at(-1)!;
  expect(chunk).toMatch(/^chk_.*2$/);
  expect(evidenceItem(hitOf({ artifact_id: 'art_1' }), none)).toEqual({
    type: 'text',
    text: '2026-01-05 ann: hello',
    refs: ['evt_1', chunk],
    ids: ['evt_1', chunk],
    metadata: {},
    comparedText: ' hello ',
    lexemes: ['hello'],
    artifact_id: 'art_1',
  });
  const memory = memoryOf({ grounded: false, claim_scope: 'team', effective_from: 3, stated_at: Date.UTC(2025, 5, 1) });
  const found = evidenceItem(hitOf({ kind: 'memory.created', memory }), none);
  expect(found).toMatchObject({
    type: 'fact',
    text: '2025-06-01 ann (fact, stated, no source): hello',
    refs: ['mem_1', 'evt_1', chunk, 'evt_0'],
    ids: ['mem_1', 'evt_1', chunk],
    claim: { claim_scope: 'team' },
  });
  expect(found).not.toHaveProperty('part');
  expect(found).not.toHaveProperty('artifact_id');
  const superseded = evidenceItem(hitOf({ kind: 'memory.created', memory, superseded: true }), none);
  expect(superseded.text).toMatch(/^\(superseded\) 2025/);
  expect(superseded).not.toHaveProperty('claim');
  // the client event that created a memory keeps its own kind
  expect(evidenceItem(hitOf({ kind: 'decision', memory: memoryOf({ kind: 'decision' }) }), none)).toMatchObject({
    type: 'text',
    text: '2026-01-05 ann (decision): hello',
  });
  expect(evidenceItem(hitOf({ kind: 'task_update', memory: memoryOf({ kind: 'task' }) }), none).type).toBe('text');
});

test('a hit that is a call or result is a tool part', () => {
  const pairs: ToolPairs = new Map([[7, { seq: 7, call_seq: 6, tool: null, call_id: 'c1' }]]);
  expect(evidenceItem(hitOf({ kind: 'tool_result' }), pairs)).toMatchObject({
    text: '2026-01-05 ann (tool result of call c1): hello',
    toolPart: { seq: 7, ordinal: 2, kind: 'tool_result' },
  });
});

test('a capsule shows its author, title and risks, then its items except unsourced claims', () => {
  const item = {
    id: 'mem_2',
    type: 'memory',
    kind: 'rule',
    text: 't',
    refs: ['a', 'b', 'a'],
    superseded: false,
    unsourced: false,
  };
  const capsule = {
    capsule_id: 'cap_1',
    author: 'a\nb',
    title: 'T',
    risks: ['r', 's'],
    items: [item, { ...item, unsourced: true }],
  };
  const [head, first, ...more] = capsuleItems(capsule as never);
  expect(head).toEqual({
    type: 'text',
    text: 'from a\\u000ab: T; risk: r; risk: s',
    refs: ['cap_1'],
    ids: ['cap_1'],
    comparedText: 'cap_1',
    lexemes: [],
  });
  expect(first).toEqual({
    type: 'rule',
    text: 'memory: t',
    refs: ['a', 'b'],
    ids: ['mem_2'],
    metadata: { memory_id: 'mem_2' },
    comparedText: 't',
    lexemes: [],
  });
  expect(more).toEqual([]);
  const details = {
    ...item,
    id: 'evt_2',
    kind: 'message',
    superseded: true,
    ...{ scope: 'team', trust: 'stated', origin: { id: 'bob' } },
  };
  const [only] = capsuleItems({ ...capsule, title: null, risks: [], items: [details] } as never);
  expect(only).toMatchObject({
    type: 'text',
    text: '(superseded) bob: t',
    metadata: { scope: 'team', trust: 'stated', origin: { id: 'bob' }, superseded: true },
  });
  expect(only!.metadata).not.toHaveProperty('memory_id');
  const many = { ...item, refs: Array.from({ length: 300 }, (_, i) => `evt_${i}`) };
  expect(capsuleItems({ ...capsule, items: [many] } as never)[1]!.refs).toHaveLength(256);
});
