import { isUtf8 } from 'node:buffer';

// Decodes bytes as text. Bytes that are mostly text are decoded too, so that a single byte that is not UTF-8 does not hide the rest.

export interface Decoded {
  text: string;
  /** Encodes a text in the original encoding. Unchanged parts get their original bytes. */
  encode(text: string): Buffer;
}

/** Returns undefined if the bytes are not text. */
export function decodeText(bytes: Buffer): Decoded | undefined {
  const wide = utf16Order(bytes);
  if (wide !== undefined) {
    const even = bytes.subarray(0, bytes.length & ~1);
    const { text, encode } = wide === 'le' ? littleEndian(even) : bigEndian(even);
    // an odd byte at the end is kept
    return { text, encode: (kept) => Buffer.concat([encode(kept), bytes.subarray(even.length)]) };
  }
  if (isUtf8(bytes)) return { text: bytes.toString(), encode: (text) => Buffer.from(text) };
  if (!isNearlyText(bytes)) return undefined;
  return { text: bytes.toString('latin1'), encode: (text) => Buffer.from(text, 'latin1') };
}

/** Detects UTF-16 by its byte order mark, or by the zeros that Latin letters have in every second byte. */
function utf16Order(bytes: Buffer): 'le' | 'be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'be';
  const zeros = [0, 0];
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i] === 0) zeros[i & 1]! += 1;
  const [even, odd] = zeros as [number, number];
  const many = bytes.length / 16;
  if (odd > many && odd > 8 * even) return 'le';
  return even > many && even > 8 * odd ? 'be' : undefined;
}

const littleEndian = (bytes: Buffer): Decoded => ({
  text: bytes.toString('utf16le'),
  encode: (text) => Buffer.from(text, 'utf16le'),
});
const bigEndian = (bytes: Buffer): Decoded => ({
  text: Buffer.from(bytes).swap16().toString('utf16le'),
  encode: (text) => Buffer.from(text, 'utf16le').swap16(),
});

/** Returns true if at most one byte in twenty is a control character. In images, archives and programs it is about one in nine. */
function isNearlyText(bytes: Buffer): boolean {
  let controls = 0;
  for (const byte of bytes) if (byte < 32 && (byte < 7 || byte > 13) && byte !== 27) controls += 1;
  return controls * 20 <= bytes.length;
}
