import { isUtf8 } from 'node:buffer';

// Bytes as the text that they are. What is nearly text is read too: one byte that is not UTF-8 must not hide the rest.

export interface Decoded {
  text: string;
  /** The bytes of a text that was read so; what was not changed in it is written as it was. */
  encode(text: string): Buffer;
}

/** Undefined for bytes that are no text. */
export function decodeText(bytes: Buffer): Decoded | undefined {
  const wide = utf16Order(bytes);
  if (wide !== undefined) {
    const even = bytes.subarray(0, bytes.length & ~1);
    const { text, encode } = wide === 'le' ? littleEndian(even) : bigEndian(even);
    // half a character at the end
    return { text, encode: (kept) => Buffer.concat([encode(kept), bytes.subarray(even.length)]) };
  }
  if (isUtf8(bytes)) return { text: bytes.toString(), encode: (text) => Buffer.from(text) };
  if (!isNearlyText(bytes)) return undefined;
  return { text: bytes.toString('latin1'), encode: (text) => Buffer.from(text, 'latin1') };
}

/** UTF-16, by its mark or by the zeros that Latin letters have in every second byte. */
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

/** Images, archives and programs have control characters all over: about one byte in nine. */
function isNearlyText(bytes: Buffer): boolean {
  let controls = 0;
  for (const byte of bytes) if (byte < 32 && (byte < 7 || byte > 13) && byte !== 27) controls += 1;
  return controls * 20 <= bytes.length;
}
