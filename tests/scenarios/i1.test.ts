import type { IsolationCase } from '../../src/feature.ts';
import { features } from '../../src/features.ts';
import { waitForJob } from '../erasure/support.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// I1: tenants are isolated. Generated from the routes and the `isolation` cases of the features: a route without a case fails.

let daemon: TestDaemon;
let alice: Client;
let mallory: Client;
let theirs: Record<string, string>;

const isolations = features.flatMap(({ isolation }) => isolation ?? []);
const cases: Record<string, IsolationCase> = Object.fromEntries(isolations.flatMap((one) => Object.entries(one.cases)));

beforeAll(async () => {
  daemon = await startTestDaemon();
  [alice, mallory] = [await newTenant(daemon.url), await newTenant(daemon.url, undefined, 'mallory')];
  theirs = { tenant_id: alice.tenant_id };
  for (const { make } of isolations) theirs = { ...theirs, ...(await make?.(alice, theirs)) };
  for (const { job_id } of (await alice.request('GET', '/v1/jobs')).body.data) await waitForJob(alice, job_id);
});
afterAll(() => daemon.stop());

/** Everything that the other tenant stores, as its owner sees it. */
async function holdings(): Promise<string> {
  const paths = isolations.flatMap((one) => one.holdings ?? []);
  const answers = await Promise.all(paths.map((path) => alice.request('GET', path)));
  return JSON.stringify(answers.map(({ status, body }) => [status, body]));
}

const pathOf = (template: string) =>
  template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    if (!theirs[name]) throw new Error(`I1 knows no ${name} of the other tenant: add one to "theirs"`);
    return theirs[name];
  });
const secretsOf = (text: string) => ['alpha', ...Object.values(theirs)].filter((word) => text.includes(word));

test('I1 every route has a case, and every case has a route', () => {
  expect(Object.keys(cases).sort()).toEqual(daemon.routes.map(({ operation }) => operation).sort());
});

test('I1 the objects that the cases name exist and are readable by their owner', async () => {
  const reads = daemon.routes.filter(({ method, path }) => method === 'GET' && path.includes('{'));
  const answers = await Promise.all(reads.map(({ path }) => alice.request('GET', pathOf(path))));
  expect(answers.map(({ status }, i) => [reads[i]!.path, status])).toEqual(reads.map(({ path }) => [path, 200]));
});

test('I1 with the credential of another tenant, every route returns 404, 403 or only data of that tenant, and changes nothing', async () => {
  const before = await holdings();
  for (const { operation, method, path } of daemon.routes) {
    const { open, body, query, ownAnswer, forgedOnly } = cases[operation]!;
    if (open || forgedOnly) continue;
    const answer = await mallory.request(method, pathOf(path) + (query?.(theirs) ?? ''), { body: body?.(theirs) });
    if (ownAnswer) {
      expect([operation, answer.status < 300]).toEqual([operation, true]);
      expect([operation, secretsOf(JSON.stringify(answer.body))]).toEqual([operation, []]);
    } else expect([operation, [403, 404].includes(answer.status)]).toEqual([operation, true]);
  }
  expect(await holdings()).toBe(before);
});

test('I1 every route rejects the id of another tenant in the body, the query or a header', async () => {
  const before = await holdings();
  for (const { operation, method, path, access } of daemon.routes) {
    const { body, query } = cases[operation]!;
    if (access === 'none') continue;
    const payload = body?.(theirs);
    const where = pathOf(path) + (query?.(theirs) ?? '');
    const tries = [
      mallory.request(method, where, { body: payload, headers: { 'x-tenant-id': alice.tenant_id } }),
      mallory.request(method, `${where}${where.includes('?') ? '&' : '?'}tenant_id=${alice.tenant_id}`, { body: payload }),
      ...(typeof payload === 'object'
        ? [mallory.request(method, where, { body: { ...payload, tenant_id: alice.tenant_id } })]
        : []),
    ];
    expect([operation, (await Promise.all(tries)).map(({ status }) => status)]).toEqual([operation, tries.map(() => 403)]);
  }
  expect(await holdings()).toBe(before);
});

test('I1 a body that cites objects of another tenant is rejected and stores nothing', async () => {
  const count = async () => (await mallory.request('GET', '/v1/usage')).body;
  const before = [await holdings(), JSON.stringify((await count()).events ?? (await count()).event_count)];
  for (const [operation, { citing }] of Object.entries(cases))
    for (const body of citing?.(theirs) ?? []) {
      const { method, path } = daemon.routes.find((route) => route.operation === operation)!;
      const { status } = await mallory.request(method, path, { body });
      expect([operation, [403, 404].includes(status)]).toEqual([operation, true]);
    }
  expect([await holdings(), JSON.stringify((await count()).events ?? (await count()).event_count)]).toEqual(before);
});

test('I1 without a credential every route except the public ones returns 401', async () => {
  for (const { operation, method, path, access } of daemon.routes) {
    if (access === 'none') continue;
    const { status, headers } = await send(daemon.url, method, pathOf(path), { body: cases[operation]!.body?.(theirs) });
    expect([operation, status, headers.has('www-authenticate')]).toEqual([operation, 401, true]);
  }
});
