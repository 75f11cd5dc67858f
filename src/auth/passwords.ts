import { randomBytes } from 'node:crypto';
import bcrypt from 'bcrypt';
import { Problem } from '../http/problem.ts';
import { COMMON_PASSWORDS } from './common_passwords.ts';

const MIN_CHARACTERS = 10;
// bcrypt reads no further, so a longer password would be a shorter one than its owner believes.
const MAX_BYTES = 72;

/** One text for the several ways Unicode can spell it, so that another keyboard gives the same password. */
const normal = (password: string) => password.normalize('NFC');

/** What is wrong with a new password, or undefined. */
export function passwordFault(password: string, username: string): string | undefined {
  const text = normal(password);
  if (text.includes('\u0000') || !text.isWellFormed()) return 'text without NUL and lone surrogates';
  if ([...text].length < MIN_CHARACTERS) return `at least ${MIN_CHARACTERS} characters`;
  if (Buffer.byteLength(text) > MAX_BYTES) return `at most ${MAX_BYTES} bytes of UTF-8`;
  const folded = text.toLowerCase();
  // `alicealice`, `alice-alice!`: nothing of its own
  if (!/[\p{L}\p{N}]/u.test(folded.replaceAll(username.toLowerCase(), ''))) return 'more than the username';
  if (/^(.{1,5}?)\1+.?$/u.test(folded) || COMMON_PASSWORDS.has(folded)) return 'a password that is not among the commonest';
  return undefined;
}

/** Refuses a new password by the name of the field it came in. */
export function requirePassword(password: string, username: string, field: string): void {
  const fault = passwordFault(password, username);
  if (fault)
    throw new Problem('validation', `The password needs to be ${fault}.`, { errors: [{ pointer: `#/${field}`, detail: fault }] });
}

export interface Hasher {
  /** Throws `unavailable` where too many wait: asked before an attempt is counted. */
  assertRoom(): void;
  hash(password: string): Promise<string>;
  /** Takes the time of a comparison without a hash too, so that an unknown user is not told from a wrong password. */
  verify(password: string, hash: string | null): Promise<boolean>;
  /** Made with less work than is asked for now. */
  outdated(hash: string): boolean;
}

/** At most `concurrency` hashes at once: more would hold libuv's threads and with them every other request. */
export function openHasher(cost: number, concurrency: number, queue: number): Hasher {
  const { turn, assertRoom } = limiter(concurrency, queue);
  // A real hash of the real cost: comparing with a malformed one returns 2000 times faster.
  const dummy = bcrypt.hash(randomBytes(32).toString('base64url'), cost);
  return {
    assertRoom,
    hash: (password) => turn(() => bcrypt.hash(normal(password), cost)),
    verify: (password, hash) =>
      turn(async () => {
        const matches = await bcrypt.compare(normal(password), hash ?? (await dummy));
        return matches && hash !== null && Buffer.byteLength(normal(password)) <= MAX_BYTES;
      }),
    outdated: (hash) => bcrypt.getRounds(hash) < cost,
  };
}

function limiter(concurrency: number, queue: number) {
  let running = 0;
  const waiting: (() => void)[] = [];
  const assertRoom = () => {
    if (running >= concurrency && waiting.length >= queue)
      throw new Problem('unavailable', 'Too many passwords are being checked.', { headers: { 'Retry-After': '2' } });
  };
  const turn = async <T>(work: () => Promise<T>): Promise<T> => {
    assertRoom();
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
  return { turn, assertRoom };
}
