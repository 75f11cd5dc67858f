import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { rebuildTenant } from '../../src/passages/index.ts';
import { decide, edit } from '../edits/client.ts';
import { jobDone } from '../export/file.ts';
import { type Client, message, newTenant, send } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { DIMENSION, type ModelServer, startModelServer } from './model_server.ts';
import { modelEnv } from './open_models.ts';

// The backlog embeds passages after they were committed, over HTTP and a model server that misbehaves.

let server: ModelServer;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  server = await startModelServer();
  daemon = await startTestDaemon({ ...modelEnv(server.url), EMBEDDINGS_MAX_RETRIES: '0', BREAKER_FAILURE_THRESHOLD: '1000' });
});
beforeEach(async () => {
  server.behave(undefined);
  alice = await newTenant(daemon.url);
});
afterAll(async () => {
  await daemon.stop();
  await server.kill();
});

const record = async (text: string): Promise<Record<string, any>> => {
  const { status, body } = await alice.request('POST', '/v1/events', { body: message(text) });
  expect(status).toBe(201);
  return body;
};

/** Returns how many vectors the tenant has, after a check that each is that of the present text. */
async function vectors(client = alice): Promise<number> {
  const { body } = await client.request('GET', '/v1/consistency');
  const { checked, ok } = body.checks.find(({ name }: { name: string }) => name === 'embeddings');
  expect(ok).toBe(true);
  return checked;
}
const untilEmbedded = (count: number, client = alice) =>
  eventually(async () => (await vectors(client)) === count, `${count} vectors`);

const unique = () => Math.random().toString(36).slice(2);

/** Makes the server hold its answers until the returned function is called. */
function hold(): () => void {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  server.behave(async () => {
    await held;
    return false;
  });
  return () => {
    server.behave(undefined);
    release();
  };
}
const untilAsked = (text: string) =>
  eventually(() => server.texts().some((sent) => sent.includes(text)), `a request with ${text}`);

test('the text alone is embedded, without the name of its actor; a write does not wait', async () => {
  const release = hold();
  const word = unique();
  await record(`the ${word} sails`);
  await untilAsked(word);
  expect(server.texts().filter((text) => text.includes(word))).toEqual([`passage: the ${word} sails`]);
  await record('the second event');
  expect(await vectors()).toBe(0);
  release();
  await untilEmbedded(2);
});

test('an endpoint that is away delays the embeddings and nothing else, and the lag is a metric', async () => {
  await server.kill();
  for (const text of ['one', 'two', 'three']) await record(text);
  const lag = async () => {
    const { body } = await send<string>(daemon.url, 'GET', '/metrics');
    return Number(/^agent_memory_embeddings_backlog_events (.+)$/m.exec(body)?.[1]);
  };
  await eventually(async () => (await lag()) >= 3, 'a lag of three events');
  await server.revive();
  await untilEmbedded(3);
  await eventually(async () => (await lag()) === 0, 'no lag');
});

test('an amendment during the call leaves no vector of the old text', async () => {
  const [before, after] = [unique(), unique()];
  const release = hold();
  const { event_id } = await record(`the code is ${before}`);
  await untilAsked(before);
  await edit(alice, event_id, 'amend', { text: `the code is ${after}` });
  release();
  await untilAsked(after);
  await untilEmbedded(1);
});

test('an amendment replaces the vector, and so does its reversal', async () => {
  const [before, after] = [unique(), unique()];
  const { event_id } = await record(`the code is ${before}`);
  await untilEmbedded(1);
  const { edit_id } = await edit(alice, event_id, 'amend', { text: `the code is ${after}` });
  await untilAsked(after);
  await untilEmbedded(1);
  expect((await decide(alice, edit_id, 'revert')).status).toBe(200);
  // its vector is in the cache
  await eventually(async () => (await vectors()) === 1, 'one vector again');
  expect(server.texts().filter((text) => text.includes(before))).toHaveLength(1);
});

test('an erasure during the call leaves no vector', async () => {
  const word = unique();
  const release = hold();
  await alice.request('POST', '/v1/events', { body: { ...message(`carol lives in ${word}`), user_id: 'carol' } });
  await untilAsked(word);
  const { body } = await alice.request('POST', '/v1/erasures', { body: { user_id: 'carol' } });
  await jobDone(alice, body.job_id);
  release();
  await record('another event');
  await untilEmbedded(1);
});

test('an erasure deletes vectors and reports their number', async () => {
  await alice.request('POST', '/v1/events', { body: { ...message('carol sails'), user_id: 'carol' } });
  await untilEmbedded(1);
  const foreseen = await alice.request('POST', '/v1/erasures', { body: { user_id: 'carol', dry_run: true } });
  expect(foreseen.body.counts).toMatchObject({ embeddings: 1 });
  const { body } = await alice.request('POST', '/v1/erasures', { body: { user_id: 'carol' } });
  expect((await jobDone(alice, body.job_id)).result).toMatchObject({ certificate: { counts: { embeddings: 1 } } });
  expect(await vectors()).toBe(0);
});

test('a text that the endpoint refuses is not sent again', async () => {
  const word = unique();
  server.behave(({ body }, res) => {
    if (!body.input?.some((text) => text.includes(word))) return false;
    res.writeHead(400).end();
    return true;
  });
  await record(`the ${word} text`);
  await record('a good text');
  await untilEmbedded(2);
  const asked = server.texts().filter((text) => text.includes(word)).length;
  await record('a third text');
  await untilEmbedded(3);
  expect(server.texts().filter((text) => text.includes(word))).toHaveLength(asked);
});

test('an event with many passages is embedded over several requests', async () => {
  const { chunk_ids } = await record('A sentence of the long text, which has several passages. '.repeat(1500));
  expect(chunk_ids.length).toBeGreaterThan(64);
  await untilEmbedded(chunk_ids.length);
});

describeOnServer('several daemons share a database', () => {
  const spawned: SpawnedDaemon[] = [];
  afterEach(async () => {
    for (const each of spawned.splice(0)) await each.kill('SIGKILL');
  });
  const spawn = async (overrides: Record<string, string> = {}) => {
    const each = await spawnDaemon(daemon.env, { ...modelEnv(server.url), JOB_LEASE_MS: '5000', ...overrides });
    spawned.push(each);
    return each;
  };

  test('several daemons share the work, and another one continues that of one that was killed', async () => {
    const [first] = [await spawn(), await spawn()];
    const words = Array.from({ length: 200 }, unique);
    const events = words.map((word) => message(`the word ${word}`));
    await alice.request('POST', '/v1/events', { body: { events: events.slice(0, 100) } });
    await untilEmbedded(100);
    expect(server.texts().filter((text) => text.startsWith('passage: the word '))).toHaveLength(100);
    let asked = 0;
    server.behave(async () => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return false;
    });
    await alice.request('POST', '/v1/events', { body: { events: events.slice(100) } });
    await eventually(() => asked > 1, 'requests in progress');
    await first!.kill('SIGKILL');
    await untilEmbedded(200);
  });

  test('a rebuild of unchanged passages keeps their vectors', async () => {
    for (const text of ['one', 'two', 'three']) await record(`${text} ${unique()}`);
    await untilEmbedded(3);
    const sent = server.texts().length;
    const config = loadConfig({ ...daemon.env, NODE_ENV: 'test' });
    const database = await openDatabase(config, createLogger('silent'));
    await rebuildTenant(database.tenants(alice.tenant_id));
    expect(await vectors()).toBe(3);
    await database.close();
    await record('four');
    await untilEmbedded(4);
    expect(server.texts()).toHaveLength(sent + 1);
  });

  test('another model embeds everything again, and the vectors of the old one stay', async () => {
    await record('the boat sails');
    await record('the cat sleeps');
    await untilEmbedded(2);
    await spawn({ EMBEDDINGS_MODEL: 'model-b' });
    await untilEmbedded(4);
    const models = server.asked
      .filter(({ body }) => body.input?.includes('passage: the boat sails'))
      .map(({ body }) => body.model);
    expect(models).toEqual(['model-a', 'model-b']);
    expect(DIMENSION).toBe(64);
  });
});
