import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Uploads whose bytes are text are screened, in all common encodings.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const secret = `q8Zr${'1kLm'}N0pT`;
const text = `Grüße.\npassword = ${secret}\nThe end of the file, which goes on for a while.\n`;
const wide = (given: string, order: 'le' | 'be') =>
  order === 'le' ? Buffer.from(given, 'utf16le') : Buffer.from(given, 'utf16le').swap16();

async function stored(bytes: Buffer): Promise<{ bytes: Buffer; redactions: number | undefined }> {
  const headers = { 'content-type': 'text/plain' };
  const { status, body } = await alice.request('POST', '/v1/artifacts', { body: bytes, headers });
  expect(status).toBe(201);
  const answer = await fetch(`${daemon.url}/v1/artifacts/${body.artifact_id}`, {
    headers: { authorization: `Bearer ${alice.token}` },
  });
  return { bytes: Buffer.from(await answer.arrayBuffer()), redactions: body.redactions };
}

test.each<[string, Buffer, BufferEncoding]>([
  ['UTF-8', Buffer.from(text), 'utf8'],
  ['UTF-8 with one invalid byte', Buffer.concat([Buffer.from(text), Buffer.from([0xff])]), 'latin1'],
  ['UTF-8 with one zero', Buffer.from(`\0${text}`), 'utf8'],
  ['Latin-1', Buffer.from(text, 'latin1'), 'latin1'],
  ['UTF-16LE with a byte order mark', wide(`\ufeff${text}`, 'le'), 'utf16le'],
  ['UTF-16LE without a byte order mark', wide(text, 'le'), 'utf16le'],
  ['UTF-16 with an odd byte at the end', Buffer.concat([wide(text, 'le'), Buffer.from([0x41])]), 'utf16le'],
])('%s: the secret is redacted and all other bytes are unchanged', async (_name, given, encoding) => {
  const found = await stored(given);
  expect(found.redactions).toBe(1);
  const [before, after] = given.toString(encoding).split(secret) as [string, string];
  const half = encoding === 'utf16le' && given.length % 2 === 1 ? given.subarray(-1) : Buffer.alloc(0);
  expect(found.bytes).toEqual(Buffer.concat([Buffer.from(`${before}[redacted:password]${after}`, encoding), half]));
});

test.each<[string, string]>([
  ['with a byte order mark', `\ufeff${text}`],
  ['without a byte order mark', text],
])('UTF-16BE %s: the secret is redacted', async (_name, given) => {
  const { bytes, redactions } = await stored(wide(given, 'be'));
  expect([bytes.swap16().toString('utf16le'), redactions]).toEqual([given.replace(secret, '[redacted:password]'), 1]);
});

test('bytes that are not text are stored unchanged', async () => {
  const image = Buffer.from(Array.from({ length: 4_096 }, (_, i) => (i * 7_919 + (i >> 3)) % 256));
  const found = await stored(image);
  expect([found.bytes.equals(image), found.redactions]).toEqual([true, undefined]);
});
