import { randomBytes } from 'node:crypto';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const MIB = 1024 * 1024;

test('an artifact of several MiB can be read whole and by arbitrary ranges', async () => {
  const alice = await newTenant(daemon.url);
  const headers = { Authorization: `Bearer ${alice.token}` };
  const bytes = randomBytes(3 * MIB + 5);
  const stored = await fetch(`${daemon.url}/v1/artifacts`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/octet-stream' },
    body: bytes,
  });
  expect(stored.status).toBe(201);
  const { artifact_id } = (await stored.json()) as { artifact_id: string };
  const read = async (range?: [number, number]) => {
    const more = range && { Range: `bytes=${range[0]}-${range[1]}` };
    const answer = await fetch(`${daemon.url}/v1/artifacts/${artifact_id}`, { headers: { ...headers, ...more } });
    return Buffer.from(await answer.arrayBuffer());
  };
  expect((await read()).equals(bytes)).toBe(true);
  for (const range of [
    [0, 0],
    [MIB - 1, MIB],
    [5, 2 * MIB + 4],
    [MIB, 2 * MIB - 1],
    [3 * MIB, 3 * MIB + 4],
  ] as [number, number][])
    expect([range, (await read(range)).equals(bytes.subarray(range[0], range[1] + 1))]).toEqual([range, true]);
});
