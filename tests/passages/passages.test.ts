import { traits } from '../../src/passages/index.ts';
import { indexOf, passagesOf, SEARCHABLE_BYTES, textOf } from '../../src/passages/passages.ts';

const event = (kind: string, content: unknown, more: object = {}) => ({ kind, actor_id: 'ann', tags: [], content, ...more });
const textsOf = (kind: string, content: unknown) => passagesOf(event(kind, content)).map(({ text }) => text);

test.each<[string, Record<string, unknown>, string]>([
  ['message', { zeta: 'last', text: 'first' }, 'first\nlast'],
  ['tool_call', { input: { b: 2, a: ['x', null, true, ''] }, tool: 'grep', call_id: 'c1' }, 'grep\nx\n2'],
  [
    'tool_result',
    { tool: 'grep', path: 'a/b', line_range: '1-2', artifact_id: 'art_1', truncated: true, excerpt_text: 'out' },
    'out',
  ],
  [
    'decision',
    { consequences: ['c'], alternatives: ['a'], constraints: ['k'], rationale: ['r'], decision: 'd' },
    'd\nr\nk\na\nc',
  ],
  ['task_update', { status: 'open', details: 'how', title: 'what', task_id: 't1' }, 'what\nhow\nopen'],
  ['other', { b: 'second', a: 'first', sealed: 'x', scope: 'team', supersedes: ['evt_1'], unindexed_bytes: 3 }, 'first\nsecond'],
])('the searchable text of a %s event', (kind, content, expected) => {
  expect(textOf(kind, content)).toBe(expected);
});

test('the searchable text of a memory has its text and body without ids and duplicates; a proposal has none', () => {
  const content = {
    kind: 'fact',
    scope: 'team',
    text: 'The port is 8080',
    body: {
      subject: 'port',
      value: 8080,
      refs: ['evt_01m7zc9e8mzz664vjfj0emse1r'],
      note: 'The port is 8080',
      task_id: 't',
      status: 's',
      priority: 1,
      to_agent: 'b',
    },
  };
  expect(textOf('memory.created', content)).toBe('The port is 8080\nport\n8080');
  expect(textOf('memory.created', { ...content, status: 'proposed' })).toBe('');
  expect(textOf('memory.created', { text: 'alone' })).toBe('alone');
});

test('the header has the kind of a memory, and the tool, path and title of an event', () => {
  const [memory] = passagesOf(event('memory.created', { kind: 'fact', text: 'x' }));
  expect(memory!.header).toBe('ann fact');
  const [result] = passagesOf(
    event('tool_result', { tool: 'grep', path: 'p'.repeat(300), title: 7, excerpt_text: 'out' }, { tags: ['a:b'] }),
  );
  expect(result!.header).toBe(`ann tool result grep ${'p'.repeat(200)} a b`);
});

test('a passage has a token count; a blank text has no passage', () => {
  expect(passagesOf(event('message', { text: 'four' }))).toEqual([
    { text: 'four', header: 'ann', token_count: 1, traits: traits.numbered },
  ]);
  expect(textsOf('message', { text: ' \n\t ' })).toEqual([]);
  expect(textsOf('message', null)).toEqual([]);
});

test('the full text replaces an excerpt of more than 1,000 characters', () => {
  const whole = 'w'.repeat(1_001);
  const indexed = (excerpt_text: string, full: string) =>
    indexOf(event('tool_result', { tool: 'cat', excerpt_text }), full)
      .passages.map(({ text }) => text)
      .join('');
  expect(indexed(whole, `${whole} and more`)).toBe(`${whole} and more`);
  expect(indexed(whole.slice(1), `${whole} and more`)).toBe(whole.slice(1));
  expect(indexed(`other ${whole}`, whole)).toBe(`other ${whole}`);
});

test('unindexed_bytes includes the line breaks between parts', () => {
  expect(indexOf(event('message', { text: 'ä', zeta: 'b' }))).toMatchObject({ unindexed_bytes: 0, passages: [{ text: 'ä\nb' }] });
  expect(indexOf(event('message', {})).unindexed_bytes).toBe(0);
  const bound = 4_194_304;
  expect(SEARCHABLE_BYTES).toBe(bound);
  const { passages, unindexed_bytes } = indexOf(event('message', { text: 'word '.repeat(bound / 5), zeta: 'z'.repeat(100) }));
  const indexed = passages.reduce((sum, { text }) => sum + text.length, 0);
  expect(indexed + unindexed_bytes).toBe('word '.length * Math.floor(bound / 5) + 1 + 100);
  expect(indexed).toBeGreaterThan(bound - 2_000);
});
