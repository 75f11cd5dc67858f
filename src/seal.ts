import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';

// Encryption with AES-256-GCM under keys that are not in the database. Each purpose has its own derived key (HKDF, RFC 5869), so that a
// value sealed for one purpose cannot be opened for another. `aad` binds a sealed value to its row, so that it cannot be moved to another.

/** An encrypted value as it is stored. All fields except `kid` are base64. */
export interface Sealed {
  /** Identifies the key without revealing it. */
  kid: string;
  iv: string;
  data: string;
  tag: string;
}

export interface Seal {
  /** Encrypts with the current key. */
  seal(plaintext: Buffer | string, purpose: string, aad: string): Sealed;
  /** Decrypts. Throws SealBroken if the key is unknown or the value was modified. */
  open(sealed: Sealed, purpose: string, aad: string): Buffer;
  /** Returns the HMAC-SHA-256 in hex: equal for equal texts, unpredictable without the key. */
  mac(text: string, purpose: string): string;
}

export class SealBroken extends Error {
  constructor(why: string) {
    super(`a sealed value cannot be opened: ${why}`);
    this.name = 'SealBroken';
  }
}

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Decodes a key of 32 bytes from base64 or base64url. Returns undefined if the text is not one. */
export function readKey(text: string): Buffer | undefined {
  const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined;
  return bytes?.length === KEY_BYTES ? bytes : undefined;
}

const kidOf = (key: Buffer): string => createHash('sha256').update('agent-memory kid').update(key).digest('hex').slice(0, 16);

/** Creates a seal that encrypts with `key` and decrypts with `key` or one of the `previous` keys. */
export function openSeal(key: Buffer, previous: Buffer[] = []): Seal {
  const keys = new Map([...previous, key].map((one) => [kidOf(one), one]));
  const kid = kidOf(key);
  const derived = new Map<string, Buffer>();
  const keyFor = (id: string, purpose: string): Buffer => {
    const master = keys.get(id);
    if (!master) throw new SealBroken(`its key ${id} is not configured`);
    const name = `${id} ${purpose}`;
    const known = derived.get(name);
    if (known) return known;
    const made = Buffer.from(hkdfSync('sha256', master, '', `agent-memory ${purpose}`, KEY_BYTES));
    derived.set(name, made);
    return made;
  };
  return {
    seal: (plaintext, purpose, aad) => {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv(ALGORITHM, keyFor(kid, purpose), iv).setAAD(Buffer.from(aad));
      const data = Buffer.concat([cipher.update(plaintext as Buffer), cipher.final()]);
      return { kid, iv: base64(iv), data: base64(data), tag: base64(cipher.getAuthTag()) };
    },
    mac: (text, purpose) =>
      createHmac('sha256', keyFor(kid, `${purpose} mac`))
        .update(text)
        .digest('hex'),
    open: ({ kid: id, iv, data, tag }, purpose, aad) => {
      const key_of_purpose = keyFor(id, purpose);
      try {
        // Without the length, node would accept a tag of four bytes.
        const decipher = createDecipheriv(ALGORITHM, key_of_purpose, Buffer.from(iv, 'base64'), { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(aad)).setAuthTag(Buffer.from(tag, 'base64'));
        return Buffer.concat([decipher.update(Buffer.from(data, 'base64')), decipher.final()]);
      } catch {
        throw new SealBroken('it was modified, or belongs to another row or purpose');
      }
    },
  };
}

const base64 = (bytes: Buffer): string => bytes.toString('base64');
