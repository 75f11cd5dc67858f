import type { Item } from '../../src/context/pack.ts';
import { sizeCallOnly, sizeItem, surelyExceeds, type UniqueItem } from '../../src/context/size.ts';
import type { CountTokens } from '../../src/context/tokens.ts';
import { RESULT_LEFT_OUT } from '../../src/context/tool_calls.ts';
import { estimateTokens } from '../../src/passages/index.ts';
import { byCharacter, itemOf } from '../support/items.ts';
import { runToEnd } from '../support/steps.ts';

const CUT = ' […]';
const uniqueItemOf = (item: Item): UniqueItem => ({ section: 'recent_window', item, position: 3 });
const sized = (item: Item, largest: number, count: CountTokens = byCharacter) =>
  runToEnd(sizeItem(uniqueItemOf(item), largest, count));
const callOnlyOf = (item: Item, largest: number, count: CountTokens = byCharacter) =>
  runToEnd(sizeCallOnly(uniqueItemOf(item), largest, count));
// `- `, the text, a line feed
const costOf = (text: string) => text.length + 3;

test('an item that fits is shown whole with normalized line ends, and its cost is that of the rendered item', () => {
  const shown = sized(itemOf('a\u2028b'), 8);
  expect(shown).toMatchObject({ section: 'recent_window', position: 3, cut: false, item: { text: 'a\nb' } });
  // continuation lines are indented
  expect(shown.cost).toBe('- a\n  b\n'.length);
  expect(sized(itemOf('abc'), 6)).toMatchObject({ cost: 6, cut: false });
  expect(sized(itemOf('abc'), 5)).toMatchObject({ cut: true });
});

test('an item that does not fit is cut to nearly the available tokens', () => {
  for (const largest of [50, 51, 64, 100]) {
    const { item, cost, cut } = sized(itemOf('x'.repeat(400)), largest);
    expect([cut, item.text.endsWith(CUT), cost]).toEqual([true, true, costOf(item.text)]);
    expect(cost).toBeLessThanOrEqual(largest);
    expect(cost).toBeGreaterThan(largest - 17);
  }
  expect(sized(itemOf('x'.repeat(400)), 50).item.text).toMatch(/^x+ \[…\]$/);
});

test('cutting splits no character', () => {
  for (let largest = 40; largest < 80; largest += 1)
    expect(sized(itemOf('😀'.repeat(200)), largest).item.text.isWellFormed()).toBe(true);
});

test('a text of more than 16 characters per available token is not counted whole', () => {
  const counted: number[] = [];
  const sparse: CountTokens = (text) => {
    counted.push(text.length);
    return byCharacter('x'.repeat(Math.ceil(text.length / 20)));
  };
  const most = 100 * 16;
  expect(sized(itemOf('x'.repeat(most)), 100, sparse)).toMatchObject({ cut: false, cost: Math.ceil((most + 3) / 20) });
  counted.length = 0;
  const { item, cut } = sized(itemOf('x'.repeat(most + 1)), 100, sparse);
  expect([cut, item.text.length > most - 20]).toEqual([true, true]);
  expect(Math.max(...counted)).toBeLessThanOrEqual(costOf('x'.repeat(most) + CUT));
});

/** Returns an item of a call and its result. */
const pairOf = (call: string, result: string): Item => {
  const { callOnly: _, ...own } = itemOf(`${call}\n${result}`);
  return { ...own, resultIds: ['evt_result'], callOnly: itemOf(call + RESULT_LEFT_OUT, { ids: ['evt_call'] }) };
};

test('a result is shown if at least 64 of its characters fit, else only the call', () => {
  const result = 'r'.repeat(500);
  for (const largest of [180, 200, 220]) {
    const cutLength = sized(itemOf(`call\n${result}`), largest).item.text.length;
    const withCall = (length: number) => {
      const { callOnly: _, ...own } = itemOf(`call\n${result}`);
      return sized({ ...own, resultIds: ['evt_result'], callOnly: itemOf('c'.repeat(length)) }, largest);
    };
    expect(withCall(cutLength - 64)).toMatchObject({ cut: true, item: { text: expect.stringMatching(/^call\nr+ \[…\]$/) } });
    expect(withCall(cutLength - 64).callOnly).toBeUndefined();
    expect(withCall(cutLength - 63)).toMatchObject({ callOnly: true, item: { resultIds: ['evt_result'] } });
  }
});

test('a call without its results ends with the mark, also if the call is cut', () => {
  const unit = pairOf('the call', 'the result');
  const whole = `the call${RESULT_LEFT_OUT}`;
  const fits = callOnlyOf(unit, costOf(whole));
  expect(fits).toMatchObject({ callOnly: true, cut: false, cost: costOf(whole), section: 'recent_window', position: 3 });
  expect(fits.item).toMatchObject({ text: whole, ids: ['evt_call'], resultIds: ['evt_result'] });
  const long = callOnlyOf(pairOf('c'.repeat(300), 'r'), 100);
  expect(long).toMatchObject({ callOnly: true, cut: true, cost: costOf(long.item.text) });
  expect(long.item.text).toMatch(/^c+ \[…\] \[result left out\]$/);
  expect(long.cost).toBeLessThanOrEqual(100);
  expect(long.cost).toBeGreaterThan(100 - 20);
});

test('only the part of a long call that could fit is counted', () => {
  let longest = 0;
  const counting: CountTokens = (text) => {
    longest = Math.max(longest, text.length);
    return byCharacter(text);
  };
  const sparse: CountTokens = (text) => {
    longest = Math.max(longest, text.length);
    return byCharacter('x'.repeat(Math.ceil(text.length / 20)));
  };
  expect(callOnlyOf(pairOf('c'.repeat(100_000), 'r'), 100, counting).cut).toBe(true);
  expect(longest).toBeLessThanOrEqual(costOf('c'.repeat(1_600) + CUT + RESULT_LEFT_OUT));
  // at the limit, it is counted whole
  const atBound = { ...pairOf('c', 'r'), callOnly: itemOf('c'.repeat(1_600)) };
  expect(callOnlyOf(atBound, 100, sparse)).toMatchObject({ cut: false, item: { text: 'c'.repeat(1_600) } });
  expect(callOnlyOf({ ...atBound, callOnly: itemOf('c'.repeat(1_601)) }, 100, sparse).cut).toBe(true);
});

test('surelyExceeds is true only for items that cannot fit, without counting', () => {
  const prose = (n: number) => itemOf('a'.repeat(n));
  // 0.8 of the characters fit in any encoding
  expect(surelyExceeds(prose(100), 80, 1_000)).toBe(false);
  // the lowest estimate is a quarter of the characters
  expect(surelyExceeds(prose(400), 80, 1_000)).toBe(false);
  expect(surelyExceeds(prose(404), 80, 1_000)).toBe(true);
  // punctuation has more tokens than letters
  const signs = itemOf('#'.repeat(200));
  expect(estimateTokens(signs.text)).toBe(150);
  expect([surelyExceeds(signs, 120, 1_000), surelyExceeds(signs, 119, 1_000)]).toEqual([false, true]);
  // cut to 90 tokens, of which 0.8 are 72
  expect([surelyExceeds(prose(1_000), 72, 90), surelyExceeds(prose(1_000), 71, 90)]).toEqual([false, true]);
  expect([surelyExceeds(signs, 72, 90), surelyExceeds(signs, 71, 90)]).toEqual([false, true]);
  // so long that it is cut before the estimate
  expect([surelyExceeds(prose(90 * 16 + 1), 71, 90), surelyExceeds(prose(90 * 16 + 1), 72, 90)]).toEqual([true, false]);
});
