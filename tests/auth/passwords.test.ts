import bcrypt from 'bcrypt';
import { openHasher, passwordFault, requirePassword } from '../../src/auth/passwords.ts';
import { Problem } from '../../src/http/problem.ts';
import { refusalOf } from './principals.ts';

const COST = 4;
const words = 'correct horse battery staple, and a donkey that eats thistles in a field';
const faultOf = (password: string) => passwordFault(password, 'Alice');

test.each([
  ['nine characters', 'aB3$ xyz!', 'must have at least 10 characters'],
  ['nine characters outside of the BMP', '😀🚀🎉🔥🌍🍀🐙🎸🚲', 'must have at least 10 characters'],
  ['73 bytes', `ä${words.slice(0, 71)}`, 'must have at most 72 bytes of UTF-8'],
  ['a NUL', 'correct\u0000horse', 'must not contain NUL or lone surrogates'],
  ['a lone surrogate', 'correct horse \ud800', 'must not contain NUL or lone surrogates'],
  ['nothing but the username', 'alice-ALICE!', 'must contain more than the username'],
  ['one repeated letter', 'aaaaaaaaaaaa', 'must not be one of the most common passwords'],
  ['a repeated group of five characters', 'x9$Qw'.repeat(3), 'must not be one of the most common passwords'],
  ['a repeated group and one more character', `${'x9$Qw'.repeat(3)}!`, 'must not be one of the most common passwords'],
  ['a common word', 'Password123', 'must not be one of the most common passwords'],
])('a password with %s is rejected', (_, password, fault) => {
  expect(faultOf(password)).toBe(fault);
});

test.each([
  ['ten characters', 'aB3$ xyz!?'],
  ['ten characters outside of the BMP', '😀🚀🎉🔥🌍🍀🐙🎸🚲a'],
  ['72 bytes', `ä${words.slice(0, 70)}`],
  ['the username and other words', 'alice likes tea'],
  ['a repeated group of six characters', 'x9$Qwe'.repeat(2)],
  ['a repeated group and two more characters', `${'x9$Qw'.repeat(2)}!?`],
])('a password with %s is accepted', (_, password) => {
  expect(faultOf(password)).toBeUndefined();
});

test('the error points to the field', () => {
  expect(refusalOf(() => requirePassword('short', 'alice', 'new_password'))).toMatchObject({
    status: 422,
    at: ['#/new_password'],
  });
  expect(refusalOf(() => requirePassword('correct horse battery', 'alice', 'password'))).toBeUndefined();
});

test('a password matches in any Unicode normalization, and not beyond the bytes that bcrypt reads', async () => {
  const hasher = openHasher(COST, 1, 10);
  const hash = await hasher.hash('caf\u00e9 au lait');
  const longest = 'x1'.repeat(36);
  const full = await hasher.hash(longest);
  const [same, other, whole, longer, none] = await hasher.withSlot(async ({ verify }) => [
    await verify('cafe\u0301 au lait', hash),
    await verify('cafe au lait', hash),
    await verify(longest, full),
    // bcrypt alone would accept this
    await verify(`${longest}y`, full),
    await verify('whatever it is', null),
  ]);
  expect({ same, other, whole, longer, none }).toEqual({ same: true, other: false, whole: true, longer: false, none: false });
});

test('a hash with a lower cost is outdated', async () => {
  const hasher = openHasher(COST + 1, 1, 1);
  expect(hasher.outdated(await bcrypt.hash('x', COST))).toBe(true);
  expect(hasher.outdated(await bcrypt.hash('x', COST + 1))).toBe(false);
});

const openGate = () => {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
};

test('attempts beyond the slots and the queue get 503, and slots are released, also after an error', async () => {
  const hasher = openHasher(COST, 1, 2);
  const gate = openGate();
  const held = Array.from({ length: 3 }, (_, i) =>
    hasher.withSlot(async () => {
      await gate.opened;
      if (i === 0) throw new Error('broken');
      return i;
    }),
  );
  const shed = await hasher.withSlot(async () => 'in').catch((error: Problem) => error);
  expect(shed).toBeInstanceOf(Problem);
  expect(shed).toMatchObject({ status: 503, headers: { 'Retry-After': '2' } });
  gate.open();
  expect(await Promise.allSettled(held)).toMatchObject([{ status: 'rejected' }, { value: 1 }, { value: 2 }]);
  expect(await Promise.all(Array.from({ length: 3 }, (_, i) => hasher.withSlot(async () => i)))).toEqual([0, 1, 2]);
});

test('at most the allowed number of hashes runs at once, and waiting ones are completed', async () => {
  let [running, most] = [0, 0];
  const compare = jest.spyOn(bcrypt, 'hash').mockImplementation(async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return 'hashed';
  });
  try {
    const hasher = openHasher(COST, 2, 100);
    // the dummy hash of the hasher
    await new Promise((resolve) => setImmediate(resolve));
    [running, most] = [0, 0];
    const first = await Promise.all(Array.from({ length: 9 }, () => hasher.hash('x')));
    expect([first.length, most]).toEqual([9, 2]);
    // all slots were released
    most = 0;
    await Promise.all(Array.from({ length: 5 }, () => hasher.hash('x')));
    expect(most).toBe(2);
  } finally {
    compare.mockRestore();
  }
});
