// Deterministic random texts, so that failures are reproducible and no scanner reports this file.

/** The generator Mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const LOWER = UPPER.toLowerCase();
const DIGITS = '0123456789';

export interface Random {
  next(below: number): number;
  of(alphabet: string, n: number): string;
  /** Letters and digits, at least one of each. */
  word(n: number): string;
  hex(n: number): string;
  lower(n: number): string;
  upper(n: number): string;
  digits(n: number): string;
  base64(bytes: number): string;
  base64url(value: string): string;
  uuid(): string;
  one<T>(items: readonly T[]): T;
}

export function random(seed: number): Random {
  const draw = randomOf(seed);
  const next = (below: number) => Math.floor(draw() * below);
  const of = (alphabet: string, n: number) => Array.from({ length: n }, () => alphabet[next(alphabet.length)]).join('');
  const hex = (n: number) => of('0123456789abcdef', n);
  return {
    next,
    of,
    hex,
    word: (n) => (n < 8 ? of(UPPER + LOWER + DIGITS, n) : `${of(UPPER + LOWER + DIGITS, n - 4)}q7Zk`),
    lower: (n) => of(LOWER, n),
    upper: (n) => of(UPPER, n),
    digits: (n) => `${1 + next(9)}${of(DIGITS, n - 1)}`,
    base64: (bytes) => Buffer.from(Array.from({ length: bytes }, () => next(256))).toString('base64'),
    base64url: (value) => Buffer.from(value).toString('base64url'),
    uuid: () => [8, 4, 4, 4, 12].map(hex).join('-'),
    one: (items) => items[next(items.length)]!,
  };
}
