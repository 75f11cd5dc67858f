import { finished } from '../erasure/support.ts';
import { type Client, message, newColleague, newTenant, PASSWORD, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// I1: tenants cannot meet. Generated from the route list: a route without a case here fails.

let daemon: TestDaemon;
let alice: Client;
let mallory: Client;
let theirs: Record<string, string>;

/** How a stranger would use each route on what is not hers: a body or query that is valid but for whose it is. */
interface Case {
  /** Why there is nothing of a tenant to reach. */
  open?: string;
  body?: () => unknown;
  /** Bodies that cite ids of the other tenant: each is refused. */
  citing?: () => unknown[];
  query?: () => string;
  headers?: Record<string, string>;
  /** Lists and the like: the answer is the stranger's own and must not name anything of the other tenant. */
  ownAnswer?: boolean;
  /** Ends the stranger's own tenant or session, so only the forged tenant is tried. */
  forgedOnly?: boolean;
}

const memoryOfMallory = { kind: 'note', text: 'of mallory', channel: 'private' };
const probe = { open: 'tells of the daemon, of no tenant' };
const proves = { open: 'proves itself with a secret in its body; its tests try the secrets of others' };
const cases: Record<string, Case> = {
  readHealth: probe,
  readLive: probe,
  readLiveness: probe,
  readHealthReady: probe,
  readReadiness: probe,
  readReady: probe,
  readMetrics: probe,
  readMetricsAsJson: probe,
  register: proves,
  logIn: proves,
  refresh: proves,
  logOut: proves,
  resetPassword: proves,
  readMe: { ownAnswer: true },
  changePassword: { body: () => ({ current_password: PASSWORD, new_password: `${PASSWORD} too` }), forgedOnly: true },
  listSessions: { ownAnswer: true },
  endSessions: { forgedOnly: true },
  endSession: {},
  listUsers: { ownAnswer: true },
  changeUser: { body: () => ({ disabled: true }) },
  makePasswordReset: { body: () => ({}) },
  makeInvite: { body: () => ({ role: 'member' }), ownAnswer: true },
  listInvites: { ownAnswer: true },
  deleteInvite: {},
  makeKey: { body: () => ({ name: 'k', role: 'member', scopes: ['read'], user_id: 'alice' }), ownAnswer: true },
  listKeys: { ownAnswer: true },
  revokeKey: {},
  readTenant: { ownAnswer: true },
  changeTenant: { body: () => ({ language: 'english' }), ownAnswer: true },
  deleteTenant: { body: () => ({ confirm: alice.tenant_id }), forgedOnly: true },
  readUsage: { ownAnswer: true },
  listAudit: { ownAnswer: true },
  recordEvents: {
    body: () => message('of mallory'),
    ownAnswer: true,
    citing: () => [
      message('x', { refs: [theirs.event_id] }),
      message('x', { refs: [theirs.chunk_id] }),
      message('x', { refs: [theirs.artifact_id] }),
      message('x', { refs: [theirs.memory_id] }),
      { events: [message('x'), message('x', { refs: [theirs.event_id] })] },
      { ...message(''), kind: 'decision', content: { decision: 'x', supersedes: theirs.event_id } },
    ],
  },
  listEvents: { query: () => '?channel=private&user_id=alice&session_id=s1&after=0', ownAnswer: true },
  readEvent: {},
  revealEvent: {},
  readChunk: {},
  storeArtifact: { body: () => 'bytes', ownAnswer: true },
  readArtifact: {},
  erase: { body: () => ({ user_id: 'alice', dry_run: true }), ownAnswer: true },
  readRetention: { ownAnswer: true },
  setRetention: { body: () => ({ rules: [] }), ownAnswer: true },
  previewRetention: { body: () => ({ rules: [{ older_than_days: 0 }] }), ownAnswer: true },
  runRetention: { ownAnswer: true },
  createCapsule: {
    body: () => ({ items: [theirs.event_id], audience: { users: ['mallory'] }, channel: 'private', user_id: 'mallory' }),
    citing: () =>
      ['event_id', 'chunk_id', 'artifact_id'].map((id) => ({
        items: [theirs[id]],
        audience: { users: ['mallory'] },
        channel: 'private',
      })),
  },
  listCapsules: { ownAnswer: true },
  readCapsule: {},
  revokeCapsule: {},
  deleteCapsule: {},
  createWebhook: { body: () => ({ url: 'https://example.com/hook', active: false, user_ids: ['alice'] }), ownAnswer: true },
  listWebhooks: { ownAnswer: true },
  readWebhook: {},
  changeWebhook: { body: () => ({ url: 'https://example.org/' }) },
  deleteWebhook: {},
  rotateWebhookSecret: {},
  listWebhookDeliveries: {},
  replayWebhookDelivery: {},
  listJobs: { ownAnswer: true },
  readJob: {},
  proposeEdit: {
    body: () => ({ target: theirs.event_id, op: 'retract', reason: 'of mallory', auto_approve: true }),
    citing: () =>
      [theirs.event_id, theirs.chunk_id, theirs.memory_id].map((target) => ({ target, op: 'retract', reason: 'of mallory' })),
  },
  listEdits: { query: () => `?target=${theirs.event_id}`, ownAnswer: true },
  readEdit: {},
  approveEdit: {},
  rejectEdit: {},
  revertEdit: {},
  makeMemories: {
    body: () => memoryOfMallory,
    ownAnswer: true,
    citing: () => [
      ...['event_id', 'chunk_id', 'artifact_id', 'memory_id'].map((id) => ({ ...memoryOfMallory, refs: [theirs[id]] })),
      { ...memoryOfMallory, supersedes: theirs.memory_id },
      { ...memoryOfMallory, supersedes: theirs.event_id },
      { ...memoryOfMallory, kind: 'fact', body: { contradicts: [theirs.memory_id] } },
      { ...memoryOfMallory, kind: 'handoff', body: { to_agent: 'b', problem: 'p', refs: [theirs.memory_id] } },
      { memories: [memoryOfMallory, { ...memoryOfMallory, refs: [theirs.memory_id] }] },
    ],
  },
  listMemories: { query: () => '?channel=private&user_id=alice&session_id=s1', ownAnswer: true },
  readMemory: {},
  listMemoryVersions: {},
  listMemoryHistory: {},
  changeMemory: { body: () => ({ text: 'hers' }) },
  deleteMemory: {},
  supersedeMemory: { body: () => memoryOfMallory },
  approveMemory: {},
  rejectMemory: {},
  search: { body: () => ({ query: 'the secret plan', user_id: 'alice', session_id: 's1' }), ownAnswer: true },
  exportTenant: { ownAnswer: true },
  importTenant: {
    // theirs is not hers: a file that names another tenant's ids brings them into her own, and only into an empty one
    body: () => '{"type":"header"}\n',
    headers: { 'content-type': 'application/x-ndjson' },
    forgedOnly: true,
  },
  checkConsistency: { ownAnswer: true },
  repairConsistency: { ownAnswer: true },
  buildContext: {
    body: () => ({ session_id: 's1', channel: 'private', query_text: 'the secret plan', user_id: 'alice' }),
    citing: () => [{ session_id: 's1', channel: 'private', capsules: [theirs.capsule_id] }],
    ownAnswer: true,
  },
};

beforeAll(async () => {
  daemon = await startTestDaemon();
  [alice, mallory] = [await newTenant(daemon.url), await newTenant(daemon.url, undefined, 'mallory')];
  const bob = await newColleague(alice);
  const [event, artifact, memory, invite, key, sessions] = [
    await alice.ask('POST', '/v1/events', { body: message('alpha secret plan') }),
    await alice.ask('POST', '/v1/artifacts', { body: 'alpha bytes', headers: { 'content-type': 'text/plain' } }),
    await alice.ask('POST', '/v1/memories', { body: { kind: 'fact', text: 'alpha fact', channel: 'private' } }),
    await alice.ask('POST', '/auth/invites', { body: { role: 'member' } }),
    await alice.ask('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'] } }),
    await alice.ask('GET', '/auth/sessions'),
  ];
  const capsule = await alice.ask('POST', '/v1/capsules', {
    body: { items: [event.body.event_id], audience: 'all', channel: 'public', title: 'alpha' },
  });
  const webhook = await alice.ask('POST', '/v1/webhooks', { body: { url: 'https://example.com/alpha', active: false } });
  const edit = await alice.ask('POST', '/v1/edits', {
    body: { target: event.body.event_id, op: 'amend', patch: { text: 'alpha public plan' }, reason: 'alpha reason' },
  });
  const job = await alice.ask('POST', '/v1/erasures', { body: { session_id: 'of nobody' } });
  await finished(alice, job.body.job_id);
  theirs = {
    capsule_id: capsule.body.capsule_id,
    webhook_id: webhook.body.webhook_id,
    edit_id: edit.body.edit_id,
    event_id: event.body.event_id,
    chunk_id: event.body.chunk_ids[0],
    artifact_id: artifact.body.artifact_id,
    memory_id: memory.body.memory_id,
    invite_id: invite.body.invite_id,
    key_id: key.body.key_id,
    session_id: sessions.body.data[0].session_id,
    job_id: job.body.job_id,
    user_id: bob.user_id,
  };
});
afterAll(() => daemon.stop());

/** All that the other tenant holds, as its owner sees it. */
async function holdings(): Promise<string> {
  const paths = [
    '/v1/events?user_id=alice',
    '/v1/events?channel=team',
    '/v1/capsules',
    '/v1/webhooks',
    '/v1/memories?user_id=alice&status=any',
    '/auth/users',
    '/auth/invites',
    '/auth/api-keys',
    '/v1/tenant',
    '/v1/edits',
  ];
  const answers = await Promise.all(paths.map((path) => alice.ask('GET', path)));
  return JSON.stringify(answers.map(({ status, body }) => [status, body]));
}

const pathOf = (template: string) =>
  template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    if (!theirs[name]) throw new Error(`I1 knows no ${name} of the other tenant: add one to "theirs"`);
    return theirs[name];
  });
const secretsOf = (text: string) => [alice.tenant_id, 'alpha', ...Object.values(theirs)].filter((word) => text.includes(word));

test('I1 every route has a case', () => {
  expect(daemon.routes.map(({ operation }) => operation).filter((operation) => !cases[operation])).toEqual([]);
});

test('I1 what the cases name is there: its owner reads it', async () => {
  const reads = daemon.routes.filter(({ method, path }) => method === 'GET' && path.includes('{'));
  const answers = await Promise.all(reads.map(({ path }) => alice.ask('GET', pathOf(path))));
  expect(answers.map(({ status }, i) => [reads[i]!.path, status])).toEqual(reads.map(({ path }) => [path, 200]));
});

test('I1 with another tenant’s credential every route answers 404 or 403, or only of its own tenant, and changes nothing', async () => {
  const before = await holdings();
  for (const { operation, method, path } of daemon.routes) {
    const { open, body, query, ownAnswer, forgedOnly } = cases[operation]!;
    if (open || forgedOnly) continue;
    const answer = await mallory.ask(method, pathOf(path) + (query?.() ?? ''), { body: body?.() });
    if (ownAnswer) {
      expect([operation, answer.status < 300]).toEqual([operation, true]);
      expect([operation, secretsOf(JSON.stringify(answer.body))]).toEqual([operation, []]);
    } else expect([operation, [403, 404].includes(answer.status)]).toEqual([operation, true]);
  }
  expect(await holdings()).toBe(before);
});

test('I1 a forged tenant in the body, the query or a header is refused by every route', async () => {
  const before = await holdings();
  for (const { operation, method, path, access } of daemon.routes) {
    const { body, query } = cases[operation]!;
    if (access === 'none') continue;
    const given = body?.();
    const where = pathOf(path) + (query?.() ?? '');
    const tries = [
      mallory.ask(method, where, { body: given, headers: { 'x-tenant-id': alice.tenant_id } }),
      mallory.ask(method, `${where}${where.includes('?') ? '&' : '?'}tenant_id=${alice.tenant_id}`, { body: given }),
      ...(typeof given === 'object' ? [mallory.ask(method, where, { body: { ...given, tenant_id: alice.tenant_id } })] : []),
    ];
    expect([operation, (await Promise.all(tries)).map(({ status }) => status)]).toEqual([operation, tries.map(() => 403)]);
  }
  expect(await holdings()).toBe(before);
});

test('I1 a body that cites what another tenant has is refused and stores nothing', async () => {
  const count = async () => (await mallory.ask('GET', '/v1/usage')).body;
  const before = [await holdings(), JSON.stringify((await count()).events ?? (await count()).event_count)];
  for (const [operation, { citing }] of Object.entries(cases))
    for (const body of citing?.() ?? []) {
      const { method, path } = daemon.routes.find((route) => route.operation === operation)!;
      const { status } = await mallory.ask(method, path, { body });
      expect([operation, [403, 404].includes(status)]).toEqual([operation, true]);
    }
  expect([await holdings(), JSON.stringify((await count()).events ?? (await count()).event_count)]).toEqual(before);
});

test('I1 without a credential every route but the open ones answers 401', async () => {
  for (const { operation, method, path, access } of daemon.routes) {
    if (access === 'none') continue;
    const { status, headers } = await send(daemon.url, method, pathOf(path), { body: cases[operation]!.body?.() });
    expect([operation, status, headers.has('www-authenticate')]).toEqual([operation, 401, true]);
  }
});
