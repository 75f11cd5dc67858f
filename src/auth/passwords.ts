import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import bcrypt from 'bcrypt';
import { Problem } from '../http/problem.ts';

const MIN_CHARACTERS = 10;
// bcrypt ignores all bytes after these, so a longer password would be weaker than its owner believes
const MAX_BYTES = 72;

const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  readFileSync(join(import.meta.dirname, 'common_passwords.txt'), 'utf8')
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('# ')),
);

/** Normalizes the text, so that the same password typed on another keyboard has the same bytes. */
const normal = (password: string) => password.normalize('NFC');

/** Returns why a new password is unacceptable; undefined if it is acceptable. */
export function passwordFault(password: string, username: string): string | undefined {
  const text = normal(password);
  if (text.includes('\u0000') || !text.isWellFormed()) return 'must not contain NUL or lone surrogates';
  if ([...text].length < MIN_CHARACTERS) return `must have at least ${MIN_CHARACTERS} characters`;
  if (Buffer.byteLength(text) > MAX_BYTES) return `must have at most ${MAX_BYTES} bytes of UTF-8`;
  const folded = text.toLowerCase();
  // for example `alicealice` or `alice-alice!`
  if (!/[\p{L}\p{N}]/u.test(folded.replaceAll(username.toLowerCase(), ''))) return 'must contain more than the username';
  if (/^(.{1,5}?)\1+.?$/u.test(folded) || COMMON_PASSWORDS.has(folded)) return 'must not be one of the most common passwords';
  return undefined;
}

/** Throws if a new password is unacceptable. `field` is the request field that holds it. */
export function requirePassword(password: string, username: string, field: string): void {
  const fault = passwordFault(password, username);
  if (fault) throw new Problem('validation', `The password ${fault}.`, { errors: [{ pointer: `#/${field}`, detail: fault }] });
}

/** Computes the hashes of one attempt, one at a time. */
export interface HashSlot {
  hash(password: string): Promise<string>;
  /** Takes as long without a hash as with one, so that timing does not reveal whether a user exists. */
  verify(password: string, hash: string | null): Promise<boolean>;
}

export interface Hasher {
  /** Reserves a slot for the whole of `work`. Throws `unavailable` before `work` starts, so a rejected attempt has not been counted. */
  withSlot<T>(work: (slot: HashSlot) => Promise<T>): Promise<T>;
  hash(password: string): Promise<string>;
  /** Returns whether the hash was made with a lower cost than the configured one. */
  outdated(hash: string): boolean;
}

/** Runs at most `concurrency` hashes at once: more would occupy libuv's threads and delay every other request. */
export function openHasher(cost: number, concurrency: number, queue: number): Hasher {
  const { turn, withSlot } = limiter(concurrency, queue);
  // a real hash of the configured cost: bcrypt rejects a malformed hash 2000 times faster
  const dummy = bcrypt.hash(randomBytes(32).toString('base64url'), cost);
  const slot: HashSlot = {
    hash: (password) => turn(() => bcrypt.hash(normal(password), cost)),
    verify: (password, hash) =>
      turn(async () => {
        const matches = await bcrypt.compare(normal(password), hash ?? (await dummy));
        return matches && hash !== null && Buffer.byteLength(normal(password)) <= MAX_BYTES;
      }),
  };
  return {
    withSlot: (work) => withSlot(() => work(slot)),
    hash: (password) => withSlot(() => slot.hash(password)),
    outdated: (hash) => bcrypt.getRounds(hash) < cost,
  };
}

function limiter(concurrency: number, queue: number) {
  let reserved = 0;
  let running = 0;
  const waiting: (() => void)[] = [];
  const withSlot = async <T>(work: () => Promise<T>): Promise<T> => {
    if (reserved >= concurrency + queue)
      throw new Problem('unavailable', 'Too many passwords are being verified.', { headers: { 'Retry-After': '2' } });
    reserved += 1;
    try {
      return await work();
    } finally {
      reserved -= 1;
    }
  };
  const turn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= concurrency) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      // passes the slot to the next waiter instead of freeing it, so that a newcomer cannot overtake
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
  return { turn, withSlot };
}
