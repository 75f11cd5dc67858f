import type { Capability, Use } from '../../src/http/capability.ts';
import { Problem } from '../../src/http/problem.ts';
import { expectProblem, gate, json, type Pipeline, startPipeline } from './pipeline.ts';

// The checks of a request with a capability, without a database. tests/capabilities has the rest.

let pipeline: Pipeline;
afterEach(() => pipeline.close());

async function startWith(capability: Partial<Capability>) {
  const covered: Use[][] = [];
  const own = {
    maxBytes: undefined,
    assertCovers: (uses: Use[]) => void covered.push(uses),
    admit: () => undefined,
    ...capability,
  };
  pipeline = await startPipeline({ ...gate, capabilityOf: () => own });
  const put = (body: string | ReadableStream) =>
    fetch(`${pipeline.url}/covered/a%2Fb`, { method: 'PUT', headers: json, body, duplex: 'half' } as RequestInit);
  return { covered, put };
}

const chunked = (text: string) => new Blob([text]).stream();

test('a route that names no operation refuses a capability before it reads the body', async () => {
  const { covered } = await startWith({});
  await expectProblem(await pipeline.post('/json/x', 'not JSON'), 'forbidden');
  expect(covered).toEqual([]);
});

test('the operations of a request are computed from its validated parameters and body', async () => {
  const { covered, put } = await startWith({});
  expect((await put('{"to":"c"}')).status).toBe(200);
  expect(covered).toEqual([
    [
      { op: 'PUT', namespace: 'a/b' },
      { op: 'ADMIN', namespace: 'c' },
    ],
  ]);
  await expectProblem(await put('{"to":1}'), 'validation');
  expect(covered).toHaveLength(1);
});

test('a capability that does not permit the operations is refused', async () => {
  const { put } = await startWith({
    assertCovers: () => {
      throw new Problem('forbidden', 'no');
    },
  });
  await expectProblem(await put('{"to":"c"}'), 'forbidden');
});

test('the operations of a large body are checked, too', async () => {
  const { covered, put } = await startWith({});
  const answer = await put(JSON.stringify({ to: 'c', text: 'x'.repeat(80_000) }));
  expect([answer.status, await answer.json()]).toEqual([200, { by: 'handle' }]);
  expect(covered).toHaveLength(1);
});

test('a body larger than the capability permits is refused, whether its length is announced or not', async () => {
  const { covered, put } = await startWith({ maxBytes: 20 });
  const [fits, tooLarge] = ['{"to":"0123456789"}', '{"to":"0123456789ab"}'];
  expect((await put(fits)).status).toBe(200);
  expect((await put(chunked(fits))).status).toBe(200);
  await expectProblem(await put(tooLarge), 'too-large');
  await expectProblem(await put(chunked(tooLarge)), 'too-large');
  expect(covered).toHaveLength(2);
});

test('a request over the rate limit of the capability is refused before its body is read', async () => {
  const { covered, put } = await startWith({
    admit: async () => {
      throw new Problem('rate-limited', 'too many', { headers: { 'Retry-After': '2' } });
    },
  });
  const refused = await put('not JSON');
  expect(refused.headers.get('retry-after')).toBe('2');
  await expectProblem(refused, 'rate-limited');
  expect(covered).toEqual([]);
});
