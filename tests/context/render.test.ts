import {
  escapeLineEnds,
  flattenMemory,
  headingOf,
  normalizeLineEnds,
  renderDecision,
  renderHandoff,
  renderItem,
  renderPassage,
  renderTask,
} from '../../src/context/render.ts';

test('only headings and items start unindented lines', () => {
  expect(headingOf('rules')).toBe('## Rules\n');
  expect(renderItem('one\ntwo\n\n## three')).toBe('- one\n  two\n  \n  ## three\n');
  expect(normalizeLineEnds('a\r\nb\rc\vd\fe\u0085f\u2028g\u2029h\u001ci\u001dj\u001ek')).toBe('a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk');
  expect(escapeLineEnds('a\nb\u2028\u0000é')).toBe('a\\u000ab\\u2028\\u0000é');
});

const passage = { actor_id: 'ann', kind: 'message', occurred_at: '2026-01-05T10:00:00.000Z', text: 'hello' };
test.each([
  [{}, '2026-01-05 ann: hello'],
  [{ kind: 'task_update' }, '2026-01-05 ann (task update): hello'],
  [{ kind: 'tool_call', call: { tool: 'grep', call_id: 'c\n1' } }, '2026-01-05 ann (tool call c\\u000a1): hello'],
  [
    { kind: 'tool_result', call: { tool: 'gr\nep', call_id: 'c1' } },
    '2026-01-05 ann (tool result of gr\\u000aep, call c1): hello',
  ],
  [{ kind: 'tool_result', call: { tool: null, call_id: 'c1' } }, '2026-01-05 ann (tool result of call c1): hello'],
  [{ kind: 'tool_result' }, '2026-01-05 ann (tool result): hello'],
])('a passage shows its date, actor and kind (%#)', (more, said) => {
  expect(renderPassage({ ...passage, ...more })).toBe(said);
});

test('a memory event is rendered by its text and body, any other event by its content', () => {
  const content = { text: 't', body: { rationale: ['r'], text: 'other' } };
  expect(flattenMemory('memory.created', content)).toEqual({ rationale: ['r'], text: 't', decision: 't', title: 't' });
  expect(flattenMemory('memory.created', { text: 't' })).toEqual({ text: 't', decision: 't', title: 't' });
  expect(flattenMemory('decision', content)).toBe(content);
});

test('a decision has one line per field, with indented continuation lines', () => {
  const all = { decision: 'd', rationale: ['r', 7, 's'], constraints: ['c\u2028e'], alternatives: ['a'], consequences: ['q'] };
  expect(renderDecision(all)).toBe('d\nbecause: r; s\nconstraints: c\n  e\ninstead of: a\nso: q');
  expect(renderDecision({ decision: 'd', rationale: [], constraints: 'no list', alternatives: [1] })).toBe('d');
  expect(renderDecision({})).toBe('');
});

test('a handoff shows its problem, its text if that differs, and its lists', () => {
  const lists = { constraints: ['c'], decisions: ['d'], open_questions: ['q'], refs: ['evt_1'] };
  expect(renderHandoff({ problem: 'p', text: 't', ...lists }, 'a\nb')).toBe(
    'from a\\u000ab: p\nt\nconstraints: c\ndecisions: d\nopen questions: q\nrefs: evt_1',
  );
  expect(renderHandoff({ problem: 'p', text: 'p' }, 'ann')).toBe('from ann: p');
  expect(renderHandoff({ problem: 'p' }, 'ann')).toBe('from ann: p');
  expect(renderHandoff({ text: 't' }, 'ann')).toBe('from ann: \nt');
});

test('a task shows its status, title and details', () => {
  expect(renderTask({ status: 'open', title: 't', details: 'd' })).toBe('[open] t: d');
  expect(renderTask({ status: 'o\np', title: 't', details: '' })).toBe('[o\\u000ap] t');
  expect(renderTask({ status: 'open', title: 't', details: 7 })).toBe('[open] t');
});
