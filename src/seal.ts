import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

// What must be read again, but not by who has only the database: AES-256-GCM under a key that is not in it. Each purpose has a key of
// its own, derived from ENCRYPTION_KEY by HKDF, so that what one feature sealed no other opens.
// Sealed: 1 byte form, 4 bytes key id, 12 bytes nonce, 16 bytes tag, ciphertext.

export interface Seal {
  /** `bound`: what it belongs to (tenant and id): moved to another row it does not open. */
  seal(plain: Buffer | string, bound: string): Buffer;
  /** Throws UnknownKey where it was sealed under a key that is not given, and for anything that was changed. */
  open(sealed: Buffer, bound: string): Buffer;
}

export class UnknownKey extends Error {
  constructor() {
    super('sealed under a key that is neither ENCRYPTION_KEY nor ENCRYPTION_KEY_PREVIOUS');
    this.name = 'UnknownKey';
  }
}

const FORM = 1;
const ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + ID_BYTES + NONCE_BYTES + TAG_BYTES;

/** `keys`: base64 of 32 bytes each; the first one seals, every one opens. */
export function createSeal(keys: [string, ...string[]], purpose: string): Seal {
  const known = keys.map((key) => derive(Buffer.from(key, 'base64'), purpose));
  return {
    seal: (plain, bound) => {
      const { id, key } = known[0]!;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(bound));
      const text = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([Buffer.of(FORM), id, nonce, cipher.getAuthTag(), text]);
    },
    open: (sealed, bound) => {
      const id = sealed.subarray(1, 1 + ID_BYTES);
      const found = sealed[0] === FORM && sealed.length >= HEAD_BYTES && known.find((each) => each.id.equals(id));
      if (!found) throw new UnknownKey();
      const nonce = sealed.subarray(1 + ID_BYTES, 1 + ID_BYTES + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', found.key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(bound))
        .setAuthTag(sealed.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
      return Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES)), decipher.final()]);
    },
  };
}

function derive(secret: Buffer, purpose: string) {
  const key = Buffer.from(hkdfSync('sha256', secret, '', `agent-memory ${purpose}`, 32));
  return { key, id: createHash('sha256').update(key).digest().subarray(0, ID_BYTES) };
}
