import fc from 'fast-check';
import { Client as Connection } from 'pg';
import { failedChecks } from '../export/file.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import type { Row } from './client.ts';
import { type Actor, actors, type Change, type Command, commands, Model } from './model.ts';

// Random commands over two daemons have the results of the model. STATE_RUNS and STATE_SEED repeat a run.

const RUNS = Number(process.env.STATE_RUNS ?? 12);
const SEED = Number(process.env.STATE_SEED ?? 20_261_201);
const NAMESPACE = 'agent://model';

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

  test('two daemons agree with the model', async () => {
    await fc.assert(
      fc.asyncProperty(commands(25), async (all) => {
        const run = await begin();
        for (const [i, command] of all.entries()) await execute(run, command, daemons[i % 2]!.url);
        await eventually(async () => (await failedChecks(run.alice)).length === 0, 'a consistent log');
      }),
      { numRuns: RUNS, seed: SEED },
    );
  }, 300_000);

  interface Run {
    alice: Client;
    clients: Record<Actor, Client>;
    model: Model;
  }

  async function begin(): Promise<Run> {
    const alice = await newTenant(daemons[0]!.url);
    const [bob, carol] = [await newColleague(alice, actors[0]), await newColleague(alice, actors[1])];
    return { alice, clients: { bob, carol }, model: new Model() };
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
    const response = await fetch(`${url}/v1/state/${path}`, {
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
    if (command.kind === 'single') return change(run, command.actor, command.change, url);
    if (command.kind === 'batch') return batch(run, command.actor, command.changes, url);
    if (command.kind === 'expire') return expire(run, command.key);
    const { actor } = command;
    if (command.kind === 'read') {
      const path = `${encodeURIComponent(NAMESPACE)}/${command.key}`;
      const answer = await send(run, actor, url, 'GET', path);
      const [expected] = model.find(actor, {}).filter(({ key }) => key === command.key);
      expect([answer.status, answer.status === 200 ? shown({ data: [answer.body] }) : []]).toEqual([
        expected ? 200 : 404,
        expected ? [expected] : [],
      ]);
    } else if (command.kind === 'query') {
      const { body } = await send(run, actor, url, 'POST', 'query', { namespace: NAMESPACE, tags: command.tags });
      expect(shown(body)).toEqual(model.find(actor, command.tags));
    } else if (model.moments.length > 0) {
      const moment = model.moments[command.moment % model.moments.length]!;
      const { body } = await send(run, actor, url, 'POST', 'query', { namespace: NAMESPACE, at: String(moment.seq) });
      expect([moment, shown(body)]).toEqual([moment, model.findAt(actor, moment)]);
    }
  }

  async function change(run: Run, actor: Actor, one: Change, url: string): Promise<void> {
    if (one.op === 'delete') return batch(run, actor, [one], url);
    const { model } = run;
    const conditions = model.conditionOf(one);
    const headers = {
      ...(conditions.match !== undefined && { 'if-match': `"${conditions.match}"` }),
      ...(conditions.onlyNew && one.op === 'put' && { 'if-none-match': '*' }),
    };
    const { body, tags, key } = one;
    const put = { body, tags, ...(key.startsWith('own') && { channel: 'private' }) };
    const path = `${encodeURIComponent(NAMESPACE)}/${key}`;
    const answer = await send(run, actor, url, one.op === 'put' ? 'PUT' : 'PATCH', path, one.op === 'put' ? put : body, headers);
    expect([one, answer.status]).toEqual([one, model.apply(actor, one, conditions)]);
    if (answer.status < 300) note(model, [one], [answer.body]);
  }

  async function batch(run: Run, actor: Actor, changes: Change[], url: string): Promise<void> {
    const { model } = run;
    const all = changes.map((one) => model.conditionOf(one));
    const operations = changes.map(({ op, key, body, tags }, i) => ({
      ...{ op, namespace: NAMESPACE, key, ...(all[i]!.match !== undefined && { if_match: all[i]!.match }) },
      ...(op === 'put' && {
        body,
        tags,
        ...(all[i]!.onlyNew && { if_none_match: true }),
        ...(key.startsWith('own') && { channel: 'private' }),
      }),
      ...(op === 'patch' && { merge: body }),
    }));
    const answer = await send(run, actor, url, 'POST', 'batch', { operations });
    // a patch is read before the commit, so a missing object is reported before an earlier operation is refused
    const next = model.copy();
    const statuses = changes.map((one, i) => next.apply(actor, one, all[i]!));
    const refused = statuses.filter((status) => status >= 400);
    if (refused.length === 0) expect([changes, answer.status]).toEqual([changes, 200]);
    else expect([changes, refused]).toEqual([changes, expect.arrayContaining([answer.status])]);
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

  /** Lets an object expire now. The sweep of either daemon or the next write records it. */
  async function expire({ alice, model }: Run, key: string): Promise<void> {
    if (!model.entries.get(key)?.live) return;
    const of = [alice.tenant_id, NAMESPACE, key];
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
