import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
let path: string;
let tag: string;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  const upload = await alice.request('POST', '/v1/artifacts', { body: 'abcdefghij', headers: { 'content-type': 'text/plain' } });
  path = `/v1/artifacts/${upload.body.artifact_id}`;
  tag = `"${upload.body.sha256}"`;
});
afterAll(() => daemon.stop());

const request = async (headers: Record<string, string>) => {
  const { status, body, headers: answered } = await alice.request<any>('GET', path, { headers });
  return [status, status === 416 ? answered.get('content-range') : body];
};

test.each([
  ['bytes=0-0', 206, 'a'],
  ['bytes=5-', 206, 'fghij'],
  ['bytes=-3', 206, 'hij'],
  ['bytes=-100', 206, 'abcdefghij'],
  ['bytes=0-100', 206, 'abcdefghij'],
  ['bytes=10-', 416, 'bytes */10'],
  ['bytes=-0', 416, 'bytes */10'],
  ['bytes=0-1,3-4', 200, 'abcdefghij'],
  ['bytes=0-1,10-', 200, 'abcdefghij'],
  ['lines=0-1', 200, 'abcdefghij'],
])('Range: %s returns %i', async (range, status, body) => {
  expect(await request({ range })).toEqual([status, body]);
});

test('If-Range returns the range if it names these bytes, else the whole', async () => {
  expect(await request({ range: 'bytes=0-1', 'if-range': tag })).toEqual([206, 'ab']);
  for (const other of ['"other"', `W/${tag}`, 'Wed, 21 Oct 2026 07:28:00 GMT'])
    expect(await request({ range: 'bytes=0-1', 'if-range': other })).toEqual([200, 'abcdefghij']);
});
