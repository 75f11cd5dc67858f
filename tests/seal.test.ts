import { randomBytes } from 'node:crypto';
import { openSeal, readKey, SealBroken } from '../src/seal.ts';

const key = randomBytes(32);
const seal = openSeal(key);

test('a sealed value opens only with the same key, purpose and row', () => {
  const sealed = seal.seal('käse 🧀', 'events', 'acme/evt_1');
  expect(seal.open(sealed, 'events', 'acme/evt_1').toString()).toBe('käse 🧀');
  expect(() => seal.open(sealed, 'webhooks', 'acme/evt_1')).toThrow(SealBroken);
  expect(() => seal.open(sealed, 'events', 'acme/evt_2')).toThrow(SealBroken);
  expect(() => openSeal(randomBytes(32)).open(sealed, 'events', 'acme/evt_1')).toThrow('is not configured');
});

test.each(['iv', 'data', 'tag'] as const)('a modified %s is rejected', (member) => {
  const sealed = seal.seal(randomBytes(40), 'events', 'a');
  const bytes = Buffer.from(sealed[member], 'base64');
  bytes[0]! ^= 1;
  expect(() => seal.open({ ...sealed, [member]: bytes.toString('base64') }, 'events', 'a')).toThrow(SealBroken);
});

test('a truncated tag is rejected', () => {
  const sealed = seal.seal('text', 'events', 'a');
  const tag = Buffer.from(sealed.tag, 'base64').subarray(0, 4).toString('base64');
  expect(() => seal.open({ ...sealed, tag }, 'events', 'a')).toThrow(SealBroken);
});

test('equal texts are sealed differently, and a previous key still opens its values', () => {
  const [one, two] = [seal.seal('text', 'events', 'a'), seal.seal('text', 'events', 'a')];
  expect(one.data).not.toBe(two.data);
  const rotated = openSeal(randomBytes(32), [key]);
  expect(rotated.open(one, 'events', 'a').toString()).toBe('text');
  expect(rotated.seal('text', 'events', 'a').kid).not.toBe(one.kid);
});

test.each([
  ['base64', key.toString('base64'), true],
  ['base64url', key.toString('base64url'), true],
  ['hex', key.toString('hex'), false],
  ['31 bytes', randomBytes(31).toString('base64'), false],
  ['nothing', '', false],
])('a key given as %s is accepted only if it is 32 bytes in base64 or base64url', (_name, text, good) => {
  expect(readKey(text)?.equals(key)).toBe(good || undefined);
});
