import { decodeText } from '../../src/secrets/bytes.ts';

const textOf = (bytes: Buffer) => decodeText(bytes)?.text;
const wide = (text: string) => Buffer.from(text, 'utf16le');
const swapped = (text: string) => wide(text).swap16();

test.each<[string, Buffer, string | undefined]>([
  ['UTF-8', Buffer.from('naïve 漢字'), 'naïve 漢字'],
  ['no bytes', Buffer.alloc(0), ''],
  ['one invalid byte', Buffer.concat([Buffer.from('some text '), Buffer.from([0xff])]), 'some text \u00ff'],
  ['UTF-16LE with a byte order mark', Buffer.concat([Buffer.from([0xff, 0xfe]), wide('漢字')]), '\ufeff漢字'],
  ['UTF-16BE with a byte order mark', Buffer.concat([Buffer.from([0xfe, 0xff]), swapped('漢字')]), '\ufeff漢字'],
  ['UTF-16LE of Latin letters', wide('plain text'), 'plain text'],
  ['UTF-16BE of Latin letters', swapped('plain text'), 'plain text'],
  ['UTF-16 with an odd byte at the end', Buffer.concat([wide('plain text'), Buffer.from([0x41])]), 'plain text'],
  // only the first byte of a byte order mark
  ['the first byte of a little-endian mark', Buffer.concat([Buffer.from([0xff]), Buffer.from('text')]), '\u00fftext'],
  ['the first byte of a big-endian mark', Buffer.concat([Buffer.from([0xfe]), Buffer.from('text')]), '\u00fetext'],
])('%s is decoded', (_, bytes, text) => {
  expect(textOf(bytes)).toBe(text);
});

test('encoding an unchanged text returns the original bytes', () => {
  const all = [Buffer.from('é'), Buffer.from([0x61, 0xff]), wide('plain text!'), swapped('plain text!')];
  for (const bytes of [...all, Buffer.concat([wide('plain text'), Buffer.from([0x41])])]) {
    const { text, encode } = decodeText(bytes)!;
    expect(encode(text)).toEqual(bytes);
  }
});

test('few zeros in every second byte, or zeros in all bytes, are not UTF-16', () => {
  // more than two of 32 bytes are enough
  const zerosAt = (...places: number[]) => {
    const bytes = Buffer.from('a'.repeat(32));
    for (const place of places) bytes[place] = 0;
    return textOf(bytes)?.length;
  };
  expect([zerosAt(1, 3), zerosAt(1, 3, 5)]).toEqual([32, 16]);
  expect([zerosAt(0, 2), zerosAt(0, 2, 4)]).toEqual([32, 16]);
  const odd = Array.from({ length: 9 }, (_, i) => 2 * i + 1);
  const even = odd.map((place) => place - 1);
  expect([zerosAt(0, ...odd.slice(0, 8)), zerosAt(0, ...odd)]).toEqual([32, 16]);
  expect([zerosAt(1, ...even.slice(0, 8)), zerosAt(1, ...even)]).toEqual([32, 16]);
});

test('bytes with more than one control character in twenty are not text', () => {
  const withControls = (count: number, code = 1) =>
    textOf(Buffer.concat([Buffer.from([0xff]), Buffer.alloc(count, code), Buffer.alloc(99 - count, 0x61)])) !== undefined;
  expect([withControls(5), withControls(6)]).toEqual([true, false]);
  // control characters of text do not count: bell to carriage return, and escape
  const taken = Array.from({ length: 34 }, (_, code) => code).filter((code) => code > 0 && withControls(50, code));
  expect(taken).toEqual([7, 8, 9, 10, 11, 12, 13, 27, 32, 33]);
});
