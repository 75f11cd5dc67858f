import { redactJson } from '../../src/secrets/redact.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const token = `ghp_a8Fk3LmQ9zXw2Vb7${'Nc5Rt1Yp6Hd4Sg0Jk'}`;
const body = (names: number) =>
  message('many names', {
    metadata: Object.fromEntries(Array.from({ length: names }, (_, i) => [`${token}${i.toString(36).padStart(3, 'Q')}`, i])),
  });

test('names that become the same mark are all kept, and none tells what it was', async () => {
  const names = 1_000;
  const { status, body: made } = await alice.ask('POST', '/v1/events', { body: body(names) });
  expect(status).toBe(201);
  const { metadata } = (await alice.ask('GET', `/v1/events/${made.event_id}`)).body;
  expect(Object.values(metadata as Record<string, number>).sort((a, b) => a - b)).toEqual(
    Array.from({ length: names }, (_, i) => i),
  );
  expect(Object.keys(metadata).some((name) => name.includes(token))).toBe(false);
});

test('names that become the same mark cost what they are many, not its square', () => {
  const { metadata } = body(40_000) as unknown as { metadata: unknown };
  expect(cpuMsOf(() => redactJson(metadata, { personal_data: false, contacts: false }, '#'))).toBeLessThan(QUADRATIC_MS);
});
