import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from './problem.ts';

// Checks the body of a signed request while it arrives. Nothing reads such a body as a whole before its digest was checked.

export interface BodyCheck {
  add(part: Buffer): void;
  /** Throws `unauthenticated` if the body is not the one that was signed. */
  finish(): void;
}

const unchecked: BodyCheck = { add: () => undefined, finish: () => undefined };

/** `digest`: the SHA-256 that the body must have; undefined if the request is not signed. */
export function openBodyCheck(digest: Buffer | undefined): BodyCheck {
  if (!digest) return unchecked;
  const hash = createHash('sha256');
  return {
    add: (part) => void hash.update(part),
    finish: () => {
      if (!timingSafeEqual(hash.digest(), digest))
        throw new Problem('unauthenticated', 'The request was altered: its body does not have the digest in Content-Digest.', {
          headers: { 'WWW-Authenticate': 'Bearer realm="agent-memory", error="invalid_token"' },
        });
    },
  };
}

/** Passes the parts of a body on. Throws at its end if it is not the one that was signed. */
export async function* checkedParts(parts: AsyncIterable<Buffer>, digest: Buffer | undefined): AsyncGenerator<Buffer> {
  const check = openBodyCheck(digest);
  for await (const part of parts) {
    check.add(part);
    yield part;
  }
  check.finish();
}
