import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import bcrypt from 'bcrypt';
import { Problem } from '../http/problem.ts';

const MIN_CHARACTERS = 10;
// bcrypt reads no further, so a longer password would be a shorter one than its owner believes.
const MAX_BYTES = 72;

const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  readFileSync(join(import.meta.dirname, 'common_passwords.txt'), 'utf8')
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('# ')),
);

/** One text for the several ways Unicode can spell it, so that another keyboard gives the same password. */
const normal = (password: string) => password.normalize('NFC');

/** What is wrong with a new password, or undefined. */
export function passwordFault(password: string, username: string): string | undefined {
  const text = normal(password);
  if (text.includes('\u0000') || !text.isWellFormed()) return 'must be text without NUL and lone surrogates';
  if ([...text].length < MIN_CHARACTERS) return `must have at least ${MIN_CHARACTERS} characters`;
  if (Buffer.byteLength(text) > MAX_BYTES) return `must have at most ${MAX_BYTES} bytes of UTF-8`;
  const folded = text.toLowerCase();
  // `alicealice`, `alice-alice!`: nothing of its own
  if (!/[\p{L}\p{N}]/u.test(folded.replaceAll(username.toLowerCase(), ''))) return 'must contain more than the username';
  if (/^(.{1,5}?)\1+.?$/u.test(folded) || COMMON_PASSWORDS.has(folded)) return 'must not be one of the most common passwords';
  return undefined;
}

/** Refuses a new password by the name of the field it came in. */
export function requirePassword(password: string, username: string, field: string): void {
  const fault = passwordFault(password, username);
  if (fault) throw new Problem('validation', `The password ${fault}.`, { errors: [{ pointer: `#/${field}`, detail: fault }] });
}

/** Room for one attempt's hashes, one after the other. */
export interface HashSlot {
  hash(password: string): Promise<string>;
  /** Takes the time of a comparison without a hash too, so that an unknown user is not told from a wrong password. */
  verify(password: string, hash: string | null): Promise<boolean>;
}

export interface Hasher {
  /** Keeps a place for all of the work, or throws `unavailable` before any of it: what is shed has not been counted. */
  withSlot<T>(work: (place: HashSlot) => Promise<T>): Promise<T>;
  hash(password: string): Promise<string>;
  /** Made with less work than is asked for now. */
  outdated(hash: string): boolean;
}

/** At most `concurrency` hashes at once: more would hold libuv's threads and with them every other request. */
export function openHasher(cost: number, concurrency: number, queue: number): Hasher {
  const { turn, withSlot } = limiter(concurrency, queue);
  // A real hash of the real cost: comparing with a malformed one returns 2000 times faster.
  const dummy = bcrypt.hash(randomBytes(32).toString('base64url'), cost);
  const place: HashSlot = {
    hash: (password) => turn(() => bcrypt.hash(normal(password), cost)),
    verify: (password, hash) =>
      turn(async () => {
        const matches = await bcrypt.compare(normal(password), hash ?? (await dummy));
        return matches && hash !== null && Buffer.byteLength(normal(password)) <= MAX_BYTES;
      }),
  };
  return {
    withSlot: (work) => withSlot(() => work(place)),
    hash: (password) => withSlot(() => place.hash(password)),
    outdated: (hash) => bcrypt.getRounds(hash) < cost,
  };
}

function limiter(concurrency: number, queue: number) {
  let taken = 0;
  let running = 0;
  const waiting: (() => void)[] = [];
  const withSlot = async <T>(work: () => Promise<T>): Promise<T> => {
    if (taken >= concurrency + queue)
      throw new Problem('unavailable', 'Too many passwords are being verified.', { headers: { 'Retry-After': '2' } });
    taken += 1;
    try {
      return await work();
    } finally {
      taken -= 1;
    }
  };
  const turn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= concurrency) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      // The turn is handed on, not given back, so that a newcomer cannot take it from who waits.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
  return { turn, withSlot };
}
