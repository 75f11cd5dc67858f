import type { Item } from '../../src/context/pack.ts';
import { pairCalls, RESULT_LEFT_OUT, type ToolPair } from '../../src/context/tool_calls.ts';

// Pairing of tool calls and results.

const part = (seq: number, kind: 'tool_call' | 'tool_result', text: string, more: Partial<Item> = {}): Item => ({
  type: 'text',
  text,
  comparedText: `said ${text}`,
  refs: [`evt_${seq}`, 'evt_shared'],
  ids: [`evt_${seq}`],
  lexemes: ['word', text],
  toolPart: { seq, ordinal: 0, kind },
  ...more,
});
const plain = (text: string): Item => ({ type: 'text', text, comparedText: text, refs: [text], ids: [text], lexemes: [] });
const call = part(1, 'tool_call', 'call');
const result = part(2, 'tool_result', 'result');
const pairsOf = (...all: [seq: number, call_seq: number | null][]) =>
  new Map(all.map(([seq, call_seq]): [number, ToolPair] => [seq, { seq, call_seq, tool: 't', call_id: 'c' }]));
const pairs = pairsOf([1, 1], [2, 1]);
const texts = (lists: Item[][]) => lists.map((list) => list.map(({ text }) => text));

test('a call and its result become one item at the position of the first, with the ids and refs of both without duplicates', () => {
  const [[before, unit, after]] = pairCalls([[plain('a'), result, plain('b'), call]], [], pairs) as [Item[]];
  expect([before!.text, after!.text]).toEqual(['a', 'b']);
  expect(unit).toEqual({
    type: 'text',
    text: 'call\nresult',
    refs: ['evt_1', 'evt_shared', 'evt_2'],
    ids: ['evt_1', 'evt_2'],
    comparedText: 'said call\nsaid result',
    lexemes: ['word', 'call', 'result'],
    primaryId: 'evt_2',
    resultIds: ['evt_2'],
    callOnly: { ...call, text: `call${RESULT_LEFT_OUT}` },
  });
});

test('continuation lines of a part are indented, and the artifact of any part is kept', () => {
  const long = part(2, 'tool_result', 'one\u2028two', { artifact_id: 'art_1' });
  const [[unit]] = pairCalls([[call, long]], [], pairs) as [Item[]];
  expect(unit).toMatchObject({ text: 'call\none\n  two', artifact_id: 'art_1' });
});

test('the parts of an event are in order and come from the first list that contains it', () => {
  const second = part(2, 'tool_result', 'second', { toolPart: { seq: 2, ordinal: 1, kind: 'tool_result' } });
  expect(texts(pairCalls([[second, call, result]], [], pairs))).toEqual([['call\nresult\nsecond']]);
  const found = part(2, 'tool_result', 'found');
  expect(texts(pairCalls([[call], [found]], [result], pairs))).toEqual([['call\nfound'], ['call\nfound']]);
});

test('a pair in several lists is in each of them, and other parts are added only to a call in a list', () => {
  expect(texts(pairCalls([[call], [plain('a')]], [result], pairs))).toEqual([['call\nresult'], ['a']]);
  expect(texts(pairCalls([[plain('a')]], [call, result], pairs))).toEqual([['a']]);
});

test('a call or result without a counterpart is unchanged', () => {
  expect(pairCalls([[call]], [], pairs)).toEqual([[call]]);
  expect(pairCalls([[result]], [], pairs)).toEqual([[result]]);
  expect(pairCalls([[result, call]], [], pairsOf([1, 1], [2, null]))).toEqual([[result, call]]);
});
