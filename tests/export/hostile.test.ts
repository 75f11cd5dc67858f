import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { exportTenant, fileOf, importFile, type Line, linesOf } from './file.ts';

// A file is as untrusted as any request: an invalid line is rejected with its number, and nothing of the file remains.

let daemon: TestDaemon;
let file: string;
let target: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ MAX_EVENT_BYTES: String(128 * 1024), MAX_IMPORT_BYTES: String(4 * 1024 * 1024) });
  const alice = await newTenant(daemon.url);
  const { body } = await alice.request('POST', '/v1/events', {
    body: { events: Array.from({ length: 1200 }, (_, i) => message(`event ${i}`)) },
  });
  if (!body.data)
    await alice.request('POST', '/v1/events', {
      body: { events: Array.from({ length: 1000 }, (_, i) => message(`event ${i}`)) },
    });
  await alice.request('POST', '/v1/events', { body: { ...message(''), kind: 'decision', content: { decision: 'we go on' } } });
  await alice.request('POST', '/v1/artifacts', { body: Buffer.alloc(100_000, 1), headers: { 'content-type': 'x/y' } });
  file = await exportTenant(alice);
  target = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

/** Returns the file with changed lines and a valid end line. */
const changed = (change: (lines: Line[]) => Line[]): string => fileOf(change(linesOf(file)));
const at = (type: string, change: (line: Line) => Line, nth = 0) => {
  let seen = -1;
  return changed((lines) => lines.map((line) => (line.type === type && ++seen === nth ? change(line) : line)));
};
const place = (type: string, nth = 0) => {
  const lines = linesOf(file);
  return lines.indexOf(lines.filter((line) => line.type === type)[nth]!);
};

async function isEmpty(client: Client): Promise<void> {
  expect((await client.request('GET', '/v1/usage')).body).toMatchObject({ events: 0, last_seq: 0, bytes: 0 });
  expect((await client.request('GET', '/v1/events')).body.data).toEqual([]);
  expect(linesOf(await exportTenant(client)).map(({ type }) => type)).toEqual(['header', 'tenant', 'end']);
}

const cut = (text: string) => text.slice(0, Math.floor(text.length / 2));
const swapped = (type: string) =>
  changed((lines) => {
    const i = place(type, 1);
    return [...lines.slice(0, i), lines[i + 1]!, lines[i]!, ...lines.slice(i + 2)];
  });

const broken: [string, () => string, number, string?][] = [
  ['an empty file', () => '', 422],
  ['a file without a newline', () => 'hello', 422],
  ['a line that is not JSON', () => '{"type":\n', 422, '#/0'],
  ['a line that is not an object', () => '[1]\n', 422, '#/0'],
  ['a NUL in a string', () => '{"type":"header","x":"\\u0000"}\n', 422, '#/0/x'],
  ['deep nesting', () => `{"type":"header","x":${'['.repeat(200)}${']'.repeat(200)}}\n`, 422],
  ['a line above the limit', () => `{"type":"header","x":"${'x'.repeat(1_500_000)}"}\n`, 413, '#/0'],
  ['a file above the limit', () => file + ' '.repeat(4 * 1024 * 1024), 413],
  ['a missing header', () => changed((lines) => lines.slice(1)), 422, '#/0/type'],
  ['an unknown format version', () => at('header', (line) => ({ ...line, format_version: 3 })), 422, '#/0/format_version'],
  [
    'an event with content that is marked as erased',
    () => at('event', (line) => ({ ...line, erased_at: '2026-01-01T00:00:00Z' })),
    422,
  ],
  [
    'an erasure report with other content',
    () => at('event', (line) => ({ ...line, kind: 'erasure.completed', actor_id: 'agent-memory' })),
    422,
  ],
  ['a second header', () => changed((lines) => [lines[0]!, ...lines]), 422, '#/1/type'],
  ['a header at the end', () => changed(([header, ...lines]) => [...lines, header!]), 422, '#/0/type'],
  ['a missing tenant line', () => changed((lines) => lines.filter(({ type }) => type !== 'tenant')), 422, '#/1/type'],
  [
    'an unknown line type',
    () => changed((lines) => [...lines.slice(0, 2), { type: 'user' }, ...lines.slice(2)]),
    422,
    '#/2/type',
  ],
  [
    'the name of a prototype property as line type',
    () => changed((lines) => [...lines.slice(0, 2), { type: 'constructor' }, ...lines.slice(2)]),
    422,
    '#/2/type',
  ],
  ['an unknown field', () => at('event', (line) => ({ ...line, tenant_id: 'other' }), 7), 422, `#/LINE/tenant_id`],
  ['a malformed id', () => at('event', (line) => ({ ...line, event_id: 'evt_1_2' }), 7), 422, '#/LINE/event_id'],
  ['an invalid time', () => at('event', (line) => ({ ...line, occurred_at: 'infinity' }), 7), 422, '#/LINE/occurred_at'],
  ['an invalid channel', () => at('event', (line) => ({ ...line, channel: 'secret' }), 7), 422, '#/LINE/channel'],
  [
    'a gap in the log',
    () => changed((lines) => lines.filter(({ seq, type }) => seq !== 8 || type !== 'event')),
    422,
    '#/LINE/seq',
  ],
  ['a duplicate seq', () => at('event', (line) => ({ ...line, seq: 7 }), 7), 422, '#/LINE/seq'],
  ['swapped events', () => swapped('event'), 422],
  [
    'a duplicate id',
    () => at('event', (line) => ({ ...line, event_id: linesOf(file)[place('event', 3)]!.event_id }), 7),
    422,
    '#/LINE',
  ],
  ['a log that ends early', () => changed((lines) => lines.filter(({ seq }) => seq !== 1002)), 422],
  ['a log that continues after as_of_seq', () => at('header', (line) => ({ ...line, as_of_seq: 5 })), 422],
  ['events before memories', () => changed((lines) => [...lines.slice(0, 2), ...lines.slice(2).reverse()]), 422],
  ['an incomplete artifact', () => changed((lines) => lines.filter(({ at: from }) => !(from > 0))), 422],
  [
    'changed bytes of an artifact',
    () => at('piece', (line) => ({ ...line, base64: Buffer.alloc(49_152, 2).toString('base64') })),
    422,
  ],
  ['bytes without an artifact', () => changed((lines) => lines.filter(({ type }) => type !== 'artifact')), 422],
  ['a memory whose version is missing', () => at('memory', (line) => ({ ...line, version: 2 })), 422],
  ['a memory with a changed status', () => at('memory', (line) => ({ ...line, status: 'deleted' })), 422],
  ['a version of a missing memory', () => at('memory_version', (line) => ({ ...line, memory_id: 'mem_x' })), 422],
  ['a truncated file', () => cut(file), 422],
  ['a file without its last line', () => file.slice(0, file.lastIndexOf('{"type":"end"')), 422],
  ['a changed word', () => file.replace('"event 500"', '"event 5oo"'), 422, '#/END/sha256'],
  ['a line after the end', () => `${file}{"type":"progress","done":1,"total":1}\n`, 422],
  ['an unknown language', () => at('tenant', (line) => ({ ...line, language: 'klingon' })), 409],
  ['an unknown setting', () => at('tenant', (line) => ({ ...line, settings: { admin: true } })), 422, '#/1/settings/admin'],
];

// with a missing fourth element, jest would wait for a callback
test.each(broken.map(([name, make, status, pointer]) => [name, make, status, pointer ?? ''] as const))(
  '%s is rejected and leaves the tenant empty',
  async (_, make, status, pointer) => {
    const answer = await importFile(target, make());
    expect([answer.status, answer.body.title]).toEqual([status, answer.body.title]);
    const wanted = pointer.replace('LINE', String(place('event', 7))).replace('END', String(linesOf(file).length - 1));
    if (wanted) expect(answer.body.errors?.[0]?.pointer).toBe(wanted);
    await isEmpty(target);
  },
);

describe('edits', () => {
  let edited: string;
  beforeAll(async () => {
    const bob = await newTenant(daemon.url);
    const { body } = await bob.request('POST', '/v1/events', { body: message('first') });
    await bob.request('POST', '/v1/events', { body: message('second') });
    const edit = { target: body.event_id, op: 'amend', reason: 'r', patch: { text: 'better' } };
    if ((await bob.request('POST', '/v1/edits', { body: edit })).status !== 201) throw new Error('no edit');
    edited = await exportTenant(bob);
  });
  const withEdit = (change: (line: Line) => Line) =>
    fileOf(linesOf(edited).map((line) => (line.type === 'edit' ? change(line) : line)));

  test('that refer to another event, or to one before the beginning of the log, are rejected', async () => {
    const copy = await newTenant(daemon.url);
    for (const file of [
      withEdit((line) => ({ ...line, event_id: 'evt_x' })),
      withEdit((line) => ({ ...line, seq: 2 })),
      fileOf(linesOf(withEdit((line) => line)).map((line) => (line.type === 'header' ? { ...line, oldest_seq: 2 } : line))),
    ]) {
      expect((await importFile(copy, file)).status).toBe(422);
      await isEmpty(copy);
    }
    expect((await importFile(copy, edited)).status).toBe(202);
  });

  test('count towards the storage quota', async () => {
    const small = await startTestDaemon({ MAX_TENANT_BYTES: '20000' });
    try {
      const grown = withEdit((line) => ({ ...line, patch: { text: 'long '.repeat(10_000) } }));
      const over = await importFile(await newTenant(small.url), grown);
      expect([over.status, over.body.detail]).toEqual([413, 'The import exceeds the storage quota of the tenant.']);
      expect((await importFile(await newTenant(small.url), edited)).status).toBe(202);
    } finally {
      await small.stop();
    }
  });
});

test('the unchanged file is accepted after all of these', async () => {
  expect((await importFile(target, file)).status).toBe(202);
  expect((await target.request('GET', '/v1/usage')).body.last_seq).toBe(1002);
});

test('an import requires an admin, lines of JSON and an empty tenant', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  expect((await importFile(bob, file)).status).toBe(403);
  const asJson = await alice.request('POST', '/v1/import', { body: file });
  const zipped = await alice.request('POST', '/v1/import', {
    body: file,
    headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
  });
  expect([asJson.status, zipped.status]).toEqual([415, 415]);
  await alice.request('POST', '/v1/events', { body: message('not empty') });
  expect((await importFile(alice, file)).status).toBe(409);
});
