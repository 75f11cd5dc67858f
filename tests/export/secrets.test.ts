import { createHash } from 'node:crypto';
import { namedSamples, tokenSamples } from '../secrets/samples.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { exportTenant, fileOf, importFile, jobDone, type Line, linesOf } from './file.ts';

// A file with a secret that requests cannot record is rejected. A file whose secrets were redacted or encrypted before is accepted.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const samples = [...tokenSamples(), ...namedSamples()];

async function tenantWith(settings: object): Promise<Client> {
  const alice = await newTenant(daemon.url);
  if ((await alice.request('PATCH', '/v1/tenant', { body: { settings } })).status !== 200) throw new Error('no settings');
  const events = samples.map(({ text }) => message(text, { metadata: { note: [text, 'more'] }, tags: ['plain'] }));
  const { status, body } = await alice.request('POST', '/v1/events', { body: { events } });
  if (status !== 201) throw new Error(JSON.stringify(body));
  await alice.request('POST', '/v1/events', { body: message('mine', { user_id: alice.user_id, sensitivity: 'secret' }) });
  await alice.request('POST', '/v1/events', { body: message('to be erased', { session_id: 'gone' }) });
  await alice.request('POST', '/v1/memories', { body: { kind: 'note', text: samples[0]!.text, channel: 'team', scope: 'user' } });
  await alice.request('POST', '/v1/artifacts', {
    body: Buffer.from(samples[1]!.text),
    headers: { 'content-type': 'text/plain' },
  });
  await jobDone(alice, (await alice.request('POST', '/v1/erasures', { body: { session_id: 'gone' } })).body.job_id);
  return alice;
}

test.each(['redact', 'encrypt'])('an export of a tenant with the secret mode %s is imported unchanged', async (mode) => {
  const file = await exportTenant(await tenantWith({ secrets: { mode } }));
  const { status, body } = await importFile(await newTenant(daemon.url), file);
  expect([status, body.detail]).toEqual([202, undefined]);
});

describe('in clear', () => {
  let file: string;
  beforeAll(async () => {
    const alice = await newTenant(daemon.url);
    await alice.request('POST', '/v1/events', { body: message('WORDS', { metadata: { note: 'WORDS' }, tags: ['WORDS'] }) });
    const { body } = await alice.request('POST', '/v1/events', { body: message('of an edit') });
    const edit = { target: body.event_id, op: 'amend', reason: 'WORDS', patch: { text: 'WORDS' }, auto_approve: true };
    if ((await alice.request('POST', '/v1/edits', { body: edit })).status !== 201) throw new Error('no edit');
    await alice.request('POST', '/v1/artifacts', { body: Buffer.from('WORDS'), headers: { 'content-type': 'text/plain' } });
    file = await exportTenant(alice);
  });
  const put = (type: string, path: string[], text: string) => {
    const lines = linesOf(file);
    const number = lines.findIndex((line) => line.type === type);
    let holder: any = lines[number];
    for (const name of path.slice(0, -1)) holder = holder[name];
    holder[path.at(-1)!] = text;
    return { file: fileOf(lines), pointer: `#/${number}/${path.join('/')}` };
  };

  test.each([
    ['event', ['content', 'text']],
    ['event', ['metadata', 'note']],
    ['event', ['tags', '0']],
    ['event', ['session_id']],
    ['edit', ['reason']],
    ['edit', ['patch', 'text']],
  ])('a secret in the %s at %j is rejected with its pointer and not repeated', async (type, path) => {
    const copy = await newTenant(daemon.url);
    const { text, secret } = tokenSamples()[0]!;
    const given = put(type, path, text);
    const { status, body } = await importFile(copy, given.file);
    expect([status, body.errors]).toEqual([
      422,
      [{ pointer: given.pointer, detail: 'must not contain a secret: aws-access-key' }],
    ]);
    expect(JSON.stringify(body)).not.toContain(secret);
    expect((await copy.request('GET', '/v1/usage')).body.events).toBe(0);
  });

  test('every kind of secret is rejected', async () => {
    const copy = await newTenant(daemon.url);
    const taken: string[] = [];
    for (const { kind, text } of samples)
      if ((await importFile(copy, put('event', ['content', 'text'], text).file)).status !== 422) taken.push(kind);
    expect(taken).toEqual([]);
  });

  test('content that claims to be sealed or erased is screened, too', async () => {
    const copy = await newTenant(daemon.url);
    const { text } = tokenSamples()[4]!;
    for (const content of [
      { text, erased: true },
      { text: 'x', sealed: { kid: 'k', iv: '', data: text, tag: '' } },
    ]) {
      const lines = linesOf(file);
      lines.find(({ type }) => type === 'event')!.content = content;
      expect((await importFile(copy, fileOf(lines))).status).toBe(422);
    }
  });

  test('a text artifact with a secret is rejected', async () => {
    const bytes = Buffer.from(tokenSamples()[0]!.text);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const lines = linesOf(file).map((line: Line) => {
      if (line.type === 'artifact') return { ...line, byte_count: bytes.length, sha256: `\\x${sha256}` };
      return line.type === 'piece' ? { ...line, base64: bytes.toString('base64') } : line;
    });
    const { status, body } = await importFile(await newTenant(daemon.url), fileOf(lines));
    expect([status, body.errors[0].detail]).toEqual([422, 'the artifact must not contain a secret: aws-access-key']);
  });
});
