import type { Item } from '../../src/context/pack.ts';
import { pairCalls, RESULT_LEFT_OUT, type ToolPair } from '../../src/context/tool_calls.ts';

// How the parts of calls are put together.

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

test('a call and its result are one item, where the first of them stands; what they are and rest on is that of both, once', () => {
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

test('further lines of a part are indented, and an artifact of any part is named', () => {
  const long = part(2, 'tool_result', 'one\u2028two', { artifact_id: 'art_1' });
  const [[unit]] = pairCalls([[call, long]], [], pairs) as [Item[]];
  expect(unit).toMatchObject({ text: 'call\none\n  two', artifact_id: 'art_1' });
});

test('the parts of an event are in its order, those of the first list in which it is', () => {
  const second = part(2, 'tool_result', 'second', { toolPart: { seq: 2, ordinal: 1, kind: 'tool_result' } });
  expect(texts(pairCalls([[second, call, result]], [], pairs))).toEqual([['call\nresult\nsecond']]);
  const found = part(2, 'tool_result', 'found');
  expect(texts(pairCalls([[call], [found]], [result], pairs))).toEqual([['call\nfound'], ['call\nfound']]);
});

test('what is in several lists stands in each of them, what is beside comes in only with its call', () => {
  expect(texts(pairCalls([[call], [plain('a')]], [result], pairs))).toEqual([['call\nresult'], ['a']]);
  expect(texts(pairCalls([[plain('a')]], [call, result], pairs))).toEqual([['a']]);
});

test('a call alone stands as it is, a result alone too', () => {
  expect(pairCalls([[call]], [], pairs)).toEqual([[call]]);
  expect(pairCalls([[result]], [], pairs)).toEqual([[result]]);
  expect(pairCalls([[result, call]], [], pairsOf([1, 1], [2, null]))).toEqual([[result, call]]);
});
