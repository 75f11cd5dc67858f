import fc from 'fast-check';
import { Client as Connection } from 'pg';
import { failedChecks } from '../export/file.ts';
import { type Client, newColleague, newTenant, send as sendAs } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import type { Row } from './client.ts';
import { type Actor, actors, type Change, type Command, commands, Model } from './model.ts';

// Random commands over two daemons have the results of the model. STATE_RUNS and STATE_SEED repeat a run.

const RUNS = Number(process.env.STATE_RUNS ?? 12);
const SEED = Number(process.env.STATE_SEED ?? 20_261_201);
/** Sequences that run at the same time, in different tenants. */
const LANES = 4;
/** Sequences that share a tenant, which is checked for consistency after the last of them. */
const SHARED = RUNS > 100 ? 10 : 1;

describeOnServer('a second connection sets the time of an expiry', () => {
  let daemons: TestDaemon[];
  let connection: Connection;
  beforeAll(async () => {
    const first = await startTestDaemon();
    daemons = [first, await startTestDaemon({}, first.env)];
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
    // a superuser, whom row-level security does not restrict
    connection = new Connection({ ...engine.cluster.admin, database: first.env.PGDATABASE! });
    await connection.connect();
  });
  afterAll(async () => {
    await connection.end();
    for (const daemon of daemons.reverse()) await daemon.stop();
  });

  test(
    'two daemons agree with the model',
    async () => {
      const lanes = Array.from({ length: LANES }, (_, lane) => runLane(SEED + lane, Math.ceil(RUNS / LANES)));
      await Promise.all(lanes);
    },
    300_000 + RUNS * 1000,
  );

  async function runLane(seed: number, numRuns: number): Promise<void> {
    let tenant = await newActors();
    let begun = 0;
    const check = async () => eventually(async () => (await failedChecks(tenant.alice)).length === 0, 'a consistent log');
    const property = fc.asyncProperty(commands(25), async (all) => {
      begun += 1;
      const run: Run = { ...tenant, model: new Model(), namespace: `agent://model/${begun}`, lease: `work${begun}` };
      for (const [i, command] of all.entries()) await execute(run, command, daemons[i % 2]!.url);
      if (begun % SHARED !== 0) return;
      await check();
      tenant = await newActors();
    });
    await fc.assert(property, { numRuns, seed });
    await check();
  }

  interface Actors {
    alice: Client;
    clients: Record<Actor, Client>;
  }

  interface Run extends Actors {
    model: Model;
    namespace: string;
    /** Key of the lease. */
    lease: string;
  }

  async function newActors(): Promise<Actors> {
    const alice = await newTenant(daemons[0]!.url);
    const [bob, carol] = [await newColleague(alice, actors[0]), await newColleague(alice, actors[1])];
    return { alice, clients: { bob, carol } };
  }

  async function send(
    run: Run,
    actor: Actor,
    url: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) {
    const response = await fetch(`${url}/v1/${path.startsWith('leases') ? '' : 'state/'}${path}`, {
      method,
      headers: { authorization: `Bearer ${run.clients[actor].token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Row };
  }

  const shown = ({ data }: Row): Row[] => data.map(({ key, body, tags, version }: Row) => ({ key, body, tags, version }));

  async function execute(run: Run, command: Command, url: string): Promise<void> {
    const { model } = run;
    if (command.kind === 'single') return change(run, command, url);
    if (command.kind === 'batch') return batch(run, command, url);
    if (command.kind === 'expire') return expire(run, command.key);
    const { actor } = command;
    if (command.kind === 'release' || command.kind === 'renew') return changeLease(run, command, url);
    if (command.kind === 'acquire') return acquire(run, actor, url);
    if (command.kind === 'lapse') return lapse(run);
    if (command.kind === 'snapshot') return snapshot(run, url);
    if (command.kind === 'read') {
      const path = `${encodeURIComponent(run.namespace)}/${command.key}`;
      const answer = await send(run, actor, url, 'GET', path);
      const [expected] = model.find(actor, {}).filter(({ key }) => key === command.key);
      expect([answer.status, answer.status === 200 ? shown({ data: [answer.body] }) : []]).toEqual([
        expected ? 200 : 404,
        expected ? [expected] : [],
      ]);
    } else if (command.kind === 'query') {
      const { body } = await send(run, actor, url, 'POST', 'query', { namespace: run.namespace, tags: command.tags });
      expect(shown(body)).toEqual(model.find(actor, command.tags));
    } else if (command.kind === 'past' && model.moments.length > 0) {
      const moment = model.moments[command.moment % model.moments.length]!;
      const { body } = await send(run, actor, url, 'POST', 'query', {
        namespace: run.namespace,
        at: moment.name ?? String(moment.seq),
      });
      expect([moment, shown(body)]).toEqual([moment, model.findAt(actor, moment)]);
    }
  }

  const fenceOf = ({ lease }: Run, token: number | undefined): Record<string, string> =>
    token === undefined ? {} : { lease: `${lease};token=${token}` };

  async function change(run: Run, { actor, change: one, fence }: Command & { kind: 'single' }, url: string): Promise<void> {
    if (one.op === 'delete') return batch(run, { kind: 'batch', actor, changes: [one], fence }, url);
    const { model } = run;
    const conditions = model.conditionOf(one);
    const token = model.tokenOf(fence);
    const headers = {
      ...fenceOf(run, token),
      ...(conditions.match !== undefined && { 'if-match': `"${conditions.match}"` }),
      ...(conditions.onlyNew && one.op === 'put' && { 'if-none-match': '*' }),
    };
    const { body, tags, key } = one;
    const put = { body, tags, ...(key.startsWith('own') && { channel: 'private' }) };
    const path = `${encodeURIComponent(run.namespace)}/${key}`;
    const answer = await send(run, actor, url, one.op === 'put' ? 'PUT' : 'PATCH', path, one.op === 'put' ? put : body, headers);
    const expected = model.isStale(token) ? 412 : model.apply(actor, one, conditions);
    expect([one, token, answer.status]).toEqual([one, token, expected]);
    if (answer.status < 300) note(model, [one], [answer.body]);
  }

  async function batch(run: Run, { actor, changes, fence }: Command & { kind: 'batch' }, url: string): Promise<void> {
    const { model } = run;
    const token = model.tokenOf(fence);
    const all = changes.map((one) => model.conditionOf(one));
    const operations = changes.map(({ op, key, body, tags }, i) => ({
      ...{ op, namespace: run.namespace, key, ...(all[i]!.match !== undefined && { if_match: all[i]!.match }) },
      ...(op === 'put' && {
        body,
        tags,
        ...(all[i]!.onlyNew && { if_none_match: true }),
        ...(key.startsWith('own') && { channel: 'private' }),
      }),
      ...(op === 'patch' && { merge: body }),
    }));
    const answer = await send(run, actor, url, 'POST', 'batch', { operations }, fenceOf(run, token));
    const next = model.copy();
    const statuses = changes.map((one, i) => next.apply(actor, one, all[i]!));
    const expected = model.isStale(token) ? 412 : (statuses.find((status) => status >= 400) ?? 200);
    expect([changes, all, token, answer.status]).toEqual([changes, all, token, expected]);
    if (answer.status !== 200) return;
    const replayed = model.copy();
    changes.forEach((one, i) => {
      replayed.apply(actor, one, all[i]!);
      const { version, commit_seq } = answer.body.data[i];
      expect([one, version]).toEqual([one, replayed.entries.get(one.key)!.version]);
      model.accept(replayed.copy());
      model.record(commit_seq, one.key);
    });
    const { commit_seq, updated_at } = answer.body.data.at(-1);
    if (updated_at) model.moments.push({ seq: commit_seq, at: updated_at });
  }

  function note(model: Model, changes: Change[], results: Row[]): void {
    changes.forEach(({ key }, i) => {
      const { version, commit_seq, updated_at } = results[i]!;
      expect([key, version]).toEqual([key, model.entries.get(key)!.version]);
      model.record(commit_seq, key);
      model.moments.push({ seq: commit_seq, at: updated_at });
    });
  }

  async function acquire(run: Run, actor: Actor, url: string): Promise<void> {
    const { status, body } = await send(run, actor, url, 'PUT', `leases/${run.lease}`, { owner: actor, ttl_ms: 3_600_000 });
    const { token } = run.model.lease;
    expect(status).toBe(run.model.acquire(actor));
    if (status !== 200) return expect(body.owner).toBe(run.model.lease.holder);
    expect(body.token).toBeGreaterThan(token);
    run.model.lease.token = body.token;
  }

  async function changeLease(
    run: Run,
    { kind, actor, fence }: Command & { kind: 'release' | 'renew' },
    url: string,
  ): Promise<void> {
    const token = run.model.tokenOf(fence) ?? 1;
    const body = { owner: actor, token };
    const { status } = await (kind === 'renew'
      ? send(run, actor, url, 'POST', `leases/${run.lease}/renew`, { ...body, ttl_ms: 3_600_000 })
      : send(run, actor, url, 'DELETE', `leases/${run.lease}?owner=${actor}&token=${token}`));
    expect([kind, body, status]).toEqual([kind, body, run.model.change(actor, kind, token)]);
  }

  /** Lets the lease expire now. */
  async function lapse({ alice, model, lease }: Run): Promise<void> {
    await connection.query('update leases set expires_at = clock_timestamp() where tenant_id = $1 and key = $2', [
      alice.tenant_id,
      lease,
    ]);
    model.lease = { ...model.lease, holder: null };
  }

  /** Names the end of the log. */
  async function snapshot({ alice, model, lease }: Run, url: string): Promise<void> {
    const name = `of_${lease}_${model.moments.length}`;
    const { status, body } = await sendAs(url, 'POST', '/v1/snapshots', { body: { name } }, alice.token);
    expect(status).toBe(201);
    model.moments.push({ name, seq: (body as Row).seq, at: (body as Row).created_at });
  }

  /** Lets an object expire now. The sweep of either daemon or the next write records it. */
  async function expire({ alice, model, namespace }: Run, key: string): Promise<void> {
    if (!model.entries.get(key)?.live) return;
    const of = [alice.tenant_id, namespace, key];
    const { rows } = await connection.query<{ at: string }>(
      `with moment as (select clock_timestamp() as at),
       event as (
         update events e set content = content || jsonb_build_object('expires_at', sortable_time(m.at))
         from moment m, state_objects o
         where o.tenant_id = $1 and o.namespace = $2 and o.key = $3 and e.tenant_id = o.tenant_id and e.seq = o.seq
       ),
       version as (
         update state_versions v set expires_at = m.at
         from moment m, state_objects o
         where o.tenant_id = $1 and o.namespace = $2 and o.key = $3 and v.tenant_id = o.tenant_id and v.seq = o.seq
       )
       update state_objects o set expires_at = m.at from moment m
       where o.tenant_id = $1 and o.namespace = $2 and o.key = $3
       returning sortable_time(m.at) as at`,
      of,
    );
    model.expire(key, rows[0]!.at);
  }
});
