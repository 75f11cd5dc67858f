import { clientOf, makeOwner } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// Requests with a capability: its limits, its region and its agent.

const REGION = 'us-west-2';
let daemon: TestDaemon;
let call: ReturnType<typeof clientOf>;
beforeAll(async () => {
  daemon = await startTestDaemon({ REGION });
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

type Person = Awaited<ReturnType<typeof makeOwner>>;

async function mint(by: Person, more: object = {}, from = call): Promise<{ token: string }> {
  const body = { ns: '**', ops: ['ADMIN'], expires_in: 600, ...more };
  const answer = await from('POST', '/v1/capabilities', { token: by.token, body });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return { token: answer.body.capability };
}

test('ADMIN creates, lists and deletes snapshots; another operation does not', async () => {
  const owner = await makeOwner(call);
  const admin = await mint(owner);
  const others = await mint(owner, { ops: ['PUT', 'GET', 'DELETE', 'WATCH', 'LEASE'] });
  const use = async (by: { token: string }) => [
    (await call('POST', '/v1/snapshots', { ...by, body: { name: 'one' } })).status,
    (await call('GET', '/v1/snapshots', by)).status,
    (await call('DELETE', '/v1/snapshots/one', by)).status,
  ];
  expect(await use(others)).toEqual([403, 403, 403]);
  expect(await use(admin)).toEqual([201, 200, 204]);
});

test('a capability acts in its own tenant, whatever the request names', async () => {
  const [owner, other] = [await makeOwner(call), await makeOwner(call)];
  const admin = await mint(owner);
  await call('POST', '/v1/snapshots', { ...admin, body: { name: 'mine' } });
  expect((await call('GET', '/v1/snapshots', other)).body.data).toEqual([]);
  expect((await call('GET', `/v1/snapshots?tenant_id=${other.tenant_id}`, admin)).status).toBe(403);
});

test('regions: a listed one is served, another is 451', async () => {
  const owner = await makeOwner(call);
  const status = async (regions: string[]) => (await call('GET', '/v1/snapshots', await mint(owner, { regions }))).status;
  expect([await status([REGION, 'eu']), await status(['eu']), await status([REGION.toUpperCase()])]).toEqual([200, 451, 451]);
});

test('max_bytes: a larger body is 413, also if it is chunked', async () => {
  const admin = await mint(await makeOwner(call), { max_bytes: 40 });
  const post = async (body: string, chunked = false) => {
    const headers = { authorization: `Bearer ${admin.token}`, 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: chunked ? new Blob([body]).stream() : body, duplex: 'half' };
    return (await fetch(`${daemon.url}/v1/snapshots`, init as RequestInit)).status;
  };
  const padded = (name: string, length: number) => JSON.stringify({ name }).padEnd(length);
  expect([await post(padded('a', 40)), await post(padded('b', 40), true)]).toEqual([201, 201]);
  expect([await post(padded('c', 41)), await post(padded('d', 41), true)]).toEqual([413, 413]);
});

/** Sends requests one after the other until one is refused; returns how many were answered, and the refusal. */
async function drain(token: string, calls = [call]) {
  for (let n = 0; ; n += 1) {
    const answer = await calls[n % calls.length]!('GET', '/v1/snapshots', { token });
    if (answer.status !== 200) return { answered: n, answer };
  }
}

test('max_qps: after a burst of twice the rate the answer is 429 with Retry-After, although other limits are off', async () => {
  const owner = await makeOwner(call);
  const [one, two] = [await mint(owner, { max_qps: 1 }), await mint(owner, { max_qps: 1 })];
  const { answered, answer } = await drain(one.token);
  expect(answered).toBeGreaterThanOrEqual(2);
  expect([answer.status, Number(answer.headers.get('retry-after'))]).toEqual([429, 1]);
  expect((await call('GET', '/v1/snapshots', two)).status).toBe(200);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect((await call('GET', '/v1/snapshots', one)).status).toBe(200);
});

describeOnServer('two daemons need a database that they share', () => {
  test('daemons share the bucket, and each sees a revocation by the other', async () => {
    const second = await startTestDaemon({ CREDENTIAL_TTL_MS: '0', REGION }, daemon.env);
    try {
      const there = clientOf(second.url);
      const owner = await makeOwner(call);
      const { token } = await mint(owner, { max_qps: 1 });
      // both daemons together answer the burst of two, and one more for each second that the requests take
      const began = Date.now();
      const { answered, answer } = await drain(token, [call, there]);
      expect(answer.status).toBe(429);
      expect(answered).toBeLessThanOrEqual(2 + Math.ceil((Date.now() - began) / 1000));

      const other = await mint(owner);
      expect((await there('GET', '/v1/snapshots', other)).status).toBe(200);
      const { jti } = JSON.parse(Buffer.from(other.token.split('.')[1]!, 'base64url').toString());
      await call('DELETE', `/v1/capabilities/${jti}`, owner);
      expect((await there('GET', '/v1/snapshots', other)).status).toBe(401);
    } finally {
      await second.stop();
    }
  });
});

test('a capability shares the rate limit of the key that minted it', async () => {
  const limited = await startTestDaemon({ RATE_LIMIT_ENABLED: 'true' });
  try {
    const there = clientOf(limited.url);
    const owner = await makeOwner(there);
    const body = { name: 'k', role: 'admin', scopes: ['read', 'write', 'admin'], rate_limit: { max: 6, window_ms: 3_600_000 } };
    const { api_key } = (await there('POST', '/auth/api-keys', { token: owner.token, body })).body;
    const minting = { key: api_key, body: { ns: '**', ops: ['ADMIN'], expires_in: 600 } };
    const tokens = [];
    for (let i = 0; i < 2; i += 1) tokens.push((await there('POST', '/v1/capabilities', minting)).body.capability);
    const statuses = [];
    for (let i = 0; i < 6; i += 1) statuses.push((await there('GET', '/v1/snapshots', { token: tokens[i % 2] })).status);
    expect(statuses).toEqual([200, 200, 200, 200, 429, 429]);
    expect((await there('GET', '/v1/snapshots', { key: api_key })).status).toBe(429);
    expect((await there('GET', '/v1/snapshots', owner)).status).toBe(200);
  } finally {
    await limited.stop();
  }
});

test('a killed agent stops its capabilities until it is resurrected, and no others', async () => {
  const owner = await makeOwner(call);
  const [planner, coder] = [await mint(owner, { agent: 'planner' }), await mint(owner, { agent: 'coder' })];
  const change = (to: string) => call('POST', `/v1/agents/planner/${to}`, { token: owner.token, body: { reason: 'a test' } });
  const statuses = async () => [
    (await call('GET', '/v1/snapshots', planner)).status,
    (await call('GET', '/v1/snapshots', coder)).status,
  ];
  expect(await statuses()).toEqual([200, 200]);
  await change('kill');
  expect(await statuses()).toEqual([403, 200]);
  await change('resurrect');
  expect(await statuses()).toEqual([200, 200]);
});

test('an Idempotency-Key belongs to one capability', async () => {
  const owner = await makeOwner(call);
  const [one, two] = [await mint(owner), await mint(owner)];
  const create = (by: { token: string }, name: string) =>
    call('POST', '/v1/snapshots', { ...by, body: { name }, headers: { 'idempotency-key': 'same' } });
  expect([(await create(one, 'first')).status, (await create(two, 'second')).status]).toEqual([201, 201]);
  expect((await create(one, 'third')).status).toBe(409);
});

test('an erasure deletes the capabilities of the erased agent and those that name the erased subject, as its preview says', async () => {
  const owner = await makeOwner(call);
  const named = await mint(owner, { ns: ['agent://shared', 'agent://users/carol/notes'] });
  const bound = await mint(owner, { agent: 'planner' });
  const other = await mint(owner, { ns: 'agent://users/carols', agent: 'coder' });
  const statuses = async () =>
    Promise.all([named, bound, other].map(async (by) => (await call('GET', '/v1/snapshots', by)).status));
  const erase = async (subject: object) => {
    const preview = await call('POST', '/v1/erasures', { token: owner.token, body: { ...subject, dry_run: true } });
    const { body } = await call('POST', '/v1/erasures', { token: owner.token, body: subject });
    for (;;) {
      const job = (await call('GET', `/v1/jobs/${body.job_id}`, owner)).body;
      if (job.state === 'done') return [preview.body.counts.capabilities, job.result.certificate.counts.capabilities];
      if (job.state === 'failed') throw new Error(JSON.stringify(job));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  expect(await statuses()).toEqual([200, 200, 200]);
  expect(await erase({ user_id: 'carol' })).toEqual([1, 1]);
  expect(await erase({ agent_id: 'planner' })).toEqual([1, 1]);
  expect(await statuses()).toEqual([401, 401, 200]);
});
