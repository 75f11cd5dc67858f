import { countRows } from '../../src/backup/index.ts';

const LONG = 'x'.repeat(300_000);
const DUMP = [
  'SET row_security = off;',
  'COPY public.events (tenant_id, body) FROM stdin;',
  'a\ttab and \\\\. and \\n',
  '\\.x',
  'COPY public.not_a_table (n) FROM stdin;',
  '',
  LONG,
  '\\.',
  '',
  'COPY public.nothing (n) FROM stdin;',
  '\\.',
  '-- COPY public.comment (n) FROM stdin;',
  'COPY public."Größe" (n) FROM stdin;',
  '\\\\.',
  '\\.',
  'COPY public.events (tenant_id, body) FROM stdin;',
  'again',
  '\\.',
  '',
].join('\n');

async function* inParts(text: string, bytes: number): AsyncIterable<Buffer> {
  const whole = Buffer.from(text);
  for (let at = 0; at < whole.length; at += bytes) yield whole.subarray(at, at + bytes);
}

describe('countRows', () => {
  test.each([1, 2, 3, 7, 4096, 1_000_000])('counts the same rows in parts of %i bytes', async (bytes) => {
    expect([...(await countRows(inParts(DUMP, bytes)))]).toEqual([
      ['public.events', 6],
      ['public.nothing', 0],
      ['public."Größe"', 1],
    ]);
  });

  test('a dump that ends within the rows of a table throws', async () => {
    await expect(countRows(inParts('COPY public.events (n) FROM stdin;\n1\n2', 5))).rejects.toThrow(
      'within the rows of public.events',
    );
  });

  test('a row of 512 MB is not kept in memory', async () => {
    const part = Buffer.alloc(1_048_576, 'x');
    async function* row() {
      yield Buffer.from('COPY public.events (n) FROM stdin;\n');
      for (let i = 0; i < 512; i += 1) yield part;
      yield Buffer.from('\n\\.\n');
    }
    expect([...(await countRows(row()))]).toEqual([['public.events', 1]]);
  });
});
