import { get, type IncomingMessage } from 'node:http';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

async function keyOf(client: Client, agent_id?: string): Promise<string> {
  const body = { name: 'exporter', role: 'member', scopes: ['read'], ...(agent_id && { agent_id }) };
  return (await client.request('POST', '/auth/api-keys', { body })).body.api_key;
}

/** Requests an export and reads nothing of it yet. */
const begin = (key: string) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    get(`${daemon.url}/v1/export`, { headers: { 'x-api-key': key }, agent: false }, resolve).on('error', reject);
  });

/** Reads the rest. Returns the last 1,000 characters, and whether the connection was closed early. */
async function finish(response: IncomingMessage): Promise<{ end: string; aborted: boolean }> {
  let end = '';
  try {
    for await (const part of response) end = (end + part).slice(-1000);
    return { end, aborted: false };
  } catch {
    return { end, aborted: true };
  }
}

test('a kill ends a running export with a key of the agent at its next page, and no other export', async () => {
  const [alice, bob] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  // far more than the buffers of both sockets hold
  const events = Array.from({ length: 200 }, () =>
    message('large', { channel: 'team', metadata: { padding: 'x'.repeat(12_000) } }),
  );
  for (const client of [alice, bob])
    for (let i = 0; i < 12; i += 1) expect((await client.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
  const exports = [await begin(await keyOf(alice, 'planner')), await begin(await keyOf(bob))] as const;
  for (const client of [alice, bob])
    expect((await client.request('POST', '/v1/agents/planner/kill', { body: {} })).status).toBe(200);
  const [stopped, other] = [await finish(exports[0]), await finish(exports[1])];
  expect([stopped.aborted, stopped.end.includes('"type":"end"')]).toEqual([true, false]);
  expect([other.aborted, other.end.includes('"type":"end"')]).toEqual([false, true]);
});
