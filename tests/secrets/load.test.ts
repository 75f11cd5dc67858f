import { type Client, message, newTenant } from '../support/client.ts';
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

/** How long the service is busy with so many names that become one. */
async function timeOf(names: number): Promise<number> {
  const begun = performance.now();
  const { status, body: made } = await alice.ask('POST', '/v1/events', { body: body(names) });
  const took = performance.now() - begun;
  expect(status).toBe(201);
  const { metadata } = (await alice.ask('GET', `/v1/events/${made.event_id}`)).body;
  // none is lost to another of the same name, and none tells what it was
  expect(Object.values(metadata as Record<string, number>).sort((a, b) => a - b)).toEqual(
    Array.from({ length: names }, (_, i) => i),
  );
  expect(Object.keys(metadata).some((name) => name.includes(token))).toBe(false);
  return took;
}

test('names that become the same mark cost what they are many, not its square', async () => {
  await timeOf(100);
  const few = await timeOf(1_000);
  expect(await timeOf(9_000)).toBeLessThan(few * 27);
});
