import { createSeal, UnknownKey } from '../src/seal.ts';

const keyOf = (fill: string) => Buffer.alloc(32, fill).toString('base64');
const [old, current] = [keyOf('a'), keyOf('b')];

test('what was sealed opens with the same key, purpose and place, and holds nothing of the text', () => {
  const { seal, open } = createSeal([current], 'tests');
  const sealed = seal('whsec of alice', 't1/whk_1');
  expect(open(sealed, 't1/whk_1').toString()).toBe('whsec of alice');
  expect([sealed.includes('alice'), seal('whsec of alice', 't1/whk_1').equals(sealed)]).toEqual([false, false]);
});

test('it opens neither elsewhere, nor for another purpose, nor changed', () => {
  const { seal, open } = createSeal([current], 'tests');
  const sealed = seal('text', 't1/whk_1');
  expect(() => open(sealed, 't2/whk_1')).toThrow();
  expect(() => createSeal([current], 'others').open(sealed, 't1/whk_1')).toThrow(UnknownKey);
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at]! ^= 1;
    expect(() => open(changed, 't1/whk_1')).toThrow();
  }
  expect(() => open(Buffer.alloc(3), '')).toThrow(UnknownKey);
});

test('after a change of keys the previous one still opens, and does not seal', () => {
  const sealed = createSeal([old], 'tests').seal('text', '');
  const both = createSeal([current, old], 'tests');
  expect(both.open(sealed, '').toString()).toBe('text');
  expect(() => createSeal([old], 'tests').open(both.seal('text', ''), '')).toThrow(UnknownKey);
  expect(() => createSeal([current], 'tests').open(sealed, '')).toThrow(UnknownKey);
});
