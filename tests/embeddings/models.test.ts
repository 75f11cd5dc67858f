import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { sweepReplaced } from '../../src/embeddings/sql.ts';
import { createLogger } from '../../src/log.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type ModelServer, startModelServer, vectorOf } from './model_server.ts';
import { modelEnv } from './open_models.ts';

describeOnServer('two daemons share a database', () => {
  let server: ModelServer;
  let old: TestDaemon;
  let alice: Client;
  beforeAll(async () => {
    server = await startModelServer();
    old = await startTestDaemon({ ...modelEnv(server.url), RERANK_URL: '' });
    alice = await newTenant(old.url);
    const texts = [
      'Rain fell over the harbour',
      'Bread needs flour',
      'Trains leave early',
      'Birds sing',
      'Paint dries',
      'Our manager resigned',
    ];
    await alice.request('POST', '/v1/events', { body: { events: texts.map((text) => message(text)) } });
    await eventually(async () => (await vectors(old)) === 6, 'the vectors of model-a');
  });
  afterAll(async () => {
    await old.stop();
    await server.kill();
  });

  const as = (daemon: TestDaemon): Client => ({
    ...alice,
    url: daemon.url,
    request: (...options) => newClient(daemon)(...options),
  });
  const newClient =
    (daemon: TestDaemon): Client['request'] =>
    async (method, path, options) => {
      const response = await fetch(daemon.url + path, {
        method,
        headers: { authorization: `Bearer ${alice.token}`, 'content-type': 'application/json' },
        body: options?.body === undefined ? null : JSON.stringify(options.body),
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as never };
    };

  async function vectors(daemon: TestDaemon): Promise<number> {
    const { body } = await as(daemon).request('GET', '/v1/consistency');
    return body.checks.find(({ name }: { name: string }) => name === 'embeddings').checked;
  }
  const firstHit = async (daemon: TestDaemon, query: string) =>
    (await as(daemon).request('POST', '/v1/search', { body: { query } })).body.data[0]?.text;

  test('the vectors of the previous model serve until the new one has its own, and are then removed', async () => {
    // the new model embeds queries, but no passages yet
    let refuses = true;
    server.behave(({ body }, res) => {
      if (!refuses || body.model !== 'model-b' || body.input![0]!.startsWith('query: ')) return false;
      res.writeHead(503).end();
      return true;
    });
    const change = {
      EMBEDDINGS_MODEL: 'model-b',
      EMBEDDINGS_PREVIOUS_MODEL: 'model-a',
      EMBEDDINGS_MAX_RETRIES: '0',
      BREAKER_FAILURE_THRESHOLD: '1000',
    };
    const daemon = await startTestDaemon({ ...modelEnv(server.url), RERANK_URL: '', ...change }, old.env);
    expect(await firstHit(daemon, 'boss')).toBe('Our manager resigned');
    refuses = false;
    await eventually(async () => (await vectors(daemon)) === 12, 'the vectors of both models');
    expect(await firstHit(daemon, 'boss')).toBe('Our manager resigned');
    const database = await openDatabase(loadConfig({ ...daemon.env, NODE_ENV: 'test' }), createLogger('silent'));
    const tenant = database.tenants(alice.tenant_id);
    const sweep = () => sweepReplaced('model-b 64')(tenant, 4);
    // a daemon has used the old model within the hour
    expect(await sweep()).toBe(0);
    await tenant.write((db) =>
      db.run(
        `update embedding_backlogs set lease_until = now() - interval '2 hours' where tenant_id = $1 and model = 'model-a 64'`,
        [tenant.id],
      ),
    );
    expect([await sweep(), await sweep(), await sweep()]).toEqual([4, 2, 0]);
    expect(await vectors(daemon)).toBe(6);
    expect(await firstHit(daemon, 'boss')).toBe('Our manager resigned');
    await database.close();
    await daemon.stop();
  });

  test('the same model with vectors of another length embeds everything again', async () => {
    server.behave(({ body }, res) => {
      const data = body.input!.map((text, index) => ({ index, embedding: vectorOf(text.replace(/^\w+: /, '')).slice(0, 32) }));
      res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ data }));
      return true;
    });
    const before = await vectors(old);
    const daemon = await startTestDaemon({ ...modelEnv(server.url), RERANK_URL: '', EMBEDDINGS_DIMENSION: '32' }, old.env);
    await eventually(async () => (await vectors(daemon)) === before + 6, 'the shorter vectors');
    expect(await firstHit(daemon, 'boss')).toBe('Our manager resigned');
    await daemon.stop();
  });
});
