import { LEFT_OUT, type Pair, together } from '../../src/context/calls.ts';
import type { Item } from '../../src/context/pack.ts';

// How the parts of calls are put together.

const part = (seq: number, kind: 'tool_call' | 'tool_result', text: string, more: Partial<Item> = {}): Item => ({
  type: 'text',
  text,
  said: `said ${text}`,
  refs: [`evt_${seq}`, 'evt_shared'],
  ids: [`evt_${seq}`],
  words: ['word', text],
  part: { seq, ordinal: 0, kind },
  ...more,
});
const plain = (text: string): Item => ({ type: 'text', text, said: text, refs: [text], ids: [text], words: [] });
const call = part(1, 'tool_call', 'call');
const result = part(2, 'tool_result', 'result');
const pairsOf = (...all: [seq: number, call_seq: number | null][]) =>
  new Map(all.map(([seq, call_seq]): [number, Pair] => [seq, { seq, call_seq, tool: 't', call_id: 'c' }]));
const pairs = pairsOf([1, 1], [2, 1]);
const texts = (lists: Item[][]) => lists.map((list) => list.map(({ text }) => text));

test('a call and its result are one item, where the first of them stands; what they are and rest on is that of both, once', () => {
  const [[before, unit, after]] = together([[plain('a'), result, plain('b'), call]], [], pairs) as [Item[]];
  expect([before!.text, after!.text]).toEqual(['a', 'b']);
  expect(unit).toEqual({
    type: 'text',
    text: 'call\nresult',
    refs: ['evt_1', 'evt_shared', 'evt_2'],
    ids: ['evt_1', 'evt_2'],
    said: 'said call\nsaid result',
    words: ['word', 'call', 'result'],
    name: 'evt_2',
    beside: ['evt_2'],
    without: { ...call, text: `call${LEFT_OUT}` },
  });
});

test('further lines of a part are indented, and an artifact of any part is named', () => {
  const long = part(2, 'tool_result', 'one\u2028two', { artifact_id: 'art_1' });
  const [[unit]] = together([[call, long]], [], pairs) as [Item[]];
  expect(unit).toMatchObject({ text: 'call\none\n  two', artifact_id: 'art_1' });
});

test('the parts of an event are in its order, those of the first list in which it is', () => {
  const second = part(2, 'tool_result', 'second', { part: { seq: 2, ordinal: 1, kind: 'tool_result' } });
  expect(texts(together([[second, call, result]], [], pairs))).toEqual([['call\nresult\nsecond']]);
  const found = part(2, 'tool_result', 'found');
  expect(texts(together([[call], [found]], [result], pairs))).toEqual([['call\nfound'], ['call\nfound']]);
});

test('what is in several lists stands in each of them, what is beside comes in only with its call', () => {
  expect(texts(together([[call], [plain('a')]], [result], pairs))).toEqual([['call\nresult'], ['a']]);
  expect(texts(together([[plain('a')]], [call, result], pairs))).toEqual([['a']]);
});

test('a call alone stands as it is, a result alone too', () => {
  expect(together([[call]], [], pairs)).toEqual([[call]]);
  expect(together([[result]], [], pairs)).toEqual([[result]]);
  expect(together([[result, call]], [], pairsOf([1, 1], [2, null]))).toEqual([[result, call]]);
});
