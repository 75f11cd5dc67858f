import { decodeText } from '../../src/secrets/bytes.ts';

const textOf = (bytes: Buffer) => decodeText(bytes)?.text;
const wide = (text: string) => Buffer.from(text, 'utf16le');
const swapped = (text: string) => wide(text).swap16();

test.each<[string, Buffer, string | undefined]>([
  ['UTF-8', Buffer.from('naïve 漢字'), 'naïve 漢字'],
  ['nothing', Buffer.alloc(0), ''],
  ['one byte that is not UTF-8', Buffer.concat([Buffer.from('some text '), Buffer.from([0xff])]), 'some text \u00ff'],
  ['UTF-16 with its mark', Buffer.concat([Buffer.from([0xff, 0xfe]), wide('漢字')]), '\ufeff漢字'],
  ['the same, the other order', Buffer.concat([Buffer.from([0xfe, 0xff]), swapped('漢字')]), '\ufeff漢字'],
  ['UTF-16 of Latin letters', wide('plain text'), 'plain text'],
  ['the same, the other order', swapped('plain text'), 'plain text'],
  ['half a character at the end', Buffer.concat([wide('plain text'), Buffer.from([0x41])]), 'plain text'],
  // of the marks only the first byte
  ['a byte order mark cut off', Buffer.concat([Buffer.from([0xff]), Buffer.from('text')]), '\u00fftext'],
  ['the other one', Buffer.concat([Buffer.from([0xfe]), Buffer.from('text')]), '\u00fetext'],
])('%s is read', (_, bytes, text) => {
  expect(textOf(bytes)).toBe(text);
});

test('what is written back unchanged is what came', () => {
  const all = [Buffer.from('é'), Buffer.from([0x61, 0xff]), wide('plain text!'), swapped('plain text!')];
  for (const bytes of [...all, Buffer.concat([wide('plain text'), Buffer.from([0x41])])]) {
    const { text, encode } = decodeText(bytes)!;
    expect(encode(text)).toEqual(bytes);
  }
});

test('few zeros in every second byte do not make it UTF-16, nor do zeros in both', () => {
  // of 32 bytes more than two are many
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

test('bytes of which more than one in twenty is a control character are no text', () => {
  const withControls = (count: number, code = 1) =>
    textOf(Buffer.concat([Buffer.from([0xff]), Buffer.alloc(count, code), Buffer.alloc(99 - count, 0x61)])) !== undefined;
  expect([withControls(5), withControls(6)]).toEqual([true, false]);
  // those that texts have: bell to carriage return, escape; nothing from the blank on
  const taken = Array.from({ length: 34 }, (_, code) => code).filter((code) => code > 0 && withControls(50, code));
  expect(taken).toEqual([7, 8, 9, 10, 11, 12, 13, 27, 32, 33]);
});
