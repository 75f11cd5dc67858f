import fc from 'fast-check';
import { failedChecks } from '../export/file.ts';
import { done, type Row, usage } from '../retention/support.ts';
import { del, put } from '../state/client.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { snap, trimBefore } from './support.ts';

// Random writes, snapshots, restores, forks and trims, compared with a model: one map of objects per snapshot.

const SEED = Number(process.env.SNAPSHOTS_SEED ?? Date.now() % 2 ** 31);
const RUNS = Number(process.env.SNAPSHOTS_RUNS ?? 5);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

type Objects = Map<string, unknown>;

interface Model {
  now: Objects;
  snapshots: Map<string, { seq: number; objects: Objects }>;
  made: number;
}

const NAMESPACES = ['n0', 'n1', 'n2'];
const namespace = fc.constantFrom(...NAMESPACES);
const key = fc.constantFrom('a', 'b', 'c', 'd');
const nth = fc.nat(20);
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('put' as const), namespace, key, body: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('delete' as const), namespace, key }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('snapshot' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('drop' as const), nth }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('restore' as const), nth, namespace: fc.option(namespace) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('fork' as const), from: namespace, to: namespace, nth: fc.option(nth) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('trim' as const) }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

const nameOf = (of: string, key: string) => `${of}/${key}`;
const within = (objects: Objects, of: string | null): Objects =>
  new Map([...objects].filter(([name]) => of === null || name.startsWith(`${of}/`)));

/** Reads all objects, now or at a moment. */
async function read(client: Client, at?: string): Promise<Objects> {
  const objects: Objects = new Map();
  for (const of of NAMESPACES)
    for (const name of ['a', 'b', 'c', 'd']) {
      const { status, body } = await client.request('GET', `/v1/state/${of}/${name}${at === undefined ? '' : `?at=${at}`}`);
      if (status === 200) objects.set(nameOf(of, name), body.body);
      else expect([of, name, at, status]).toEqual([of, name, at, 404]);
    }
  return objects;
}

const sorted = (objects: Objects) => [...objects].sort();

/** Replaces the objects of a namespace (null: of all) in the model, and returns the counts that a restore reports. */
function restoreModel(model: Model, past: Objects, of: string | null) {
  const before = within(model.now, of);
  const after = within(past, of);
  const restored = [...after].filter(([name, body]) => before.get(name) !== body).length;
  const deleted = [...before.keys()].filter((name) => !after.has(name));
  for (const name of deleted) model.now.delete(name);
  for (const [name, body] of after) model.now.set(name, body);
  return { restored, deleted: deleted.length, unchanged: after.size - restored };
}

/** Makes the change on both sides. */
async function run(client: Client, model: Model, step: Command): Promise<void> {
  const names = [...model.snapshots.keys()];
  const chosen = 'nth' in step && step.nth !== null ? names[step.nth % Math.max(1, names.length)] : undefined;
  if (step.op === 'put') {
    expect((await put(client, step.key, { body: step.body }, {}, step.namespace)).status).toBeLessThan(300);
    model.now.set(nameOf(step.namespace, step.key), step.body);
  } else if (step.op === 'delete') {
    const { status } = await del(client, step.key, {}, step.namespace);
    expect(status).toBe(model.now.delete(nameOf(step.namespace, step.key)) ? 204 : 404);
  } else if (step.op === 'snapshot') {
    model.made += 1;
    const { seq } = await snap(client, `s${model.made}`);
    model.snapshots.set(`s${model.made}`, { seq, objects: new Map(model.now) });
  } else if (step.op === 'trim') {
    const { oldest_seq } = await trimBefore(client, 1e9);
    const held = Math.min((await usage(client)).last_seq, ...[...model.snapshots.values()].map(({ seq }) => seq));
    expect(oldest_seq).toBe(held + 1);
  } else if (step.op === 'fork') {
    const past = chosen === undefined ? model.now : model.snapshots.get(chosen)!.objects;
    const copies = [...within(past, step.from)].map(([name, body]) => [name.replace(step.from, step.to), body] as const);
    const taken = copies.some(([name]) => model.now.has(name));
    const answer = await client.request('POST', `/v1/state/${step.from}/fork`, {
      body: { to: step.to, ...(chosen && { at: chosen }) },
    });
    expect([answer.status, answer.body.copied]).toEqual(taken ? [409, undefined] : [201, copies.length]);
    if (!taken) for (const [name, body] of copies) model.now.set(name, body);
  } else if (chosen !== undefined) {
    if (step.op === 'drop') {
      expect((await client.request('DELETE', `/v1/snapshots/${chosen}`)).status).toBe(204);
      model.snapshots.delete(chosen);
    } else {
      const body = step.namespace === null ? {} : { namespace: step.namespace };
      const answer: Row = await done(client, 'POST', `/v1/snapshots/${chosen}/restore`, body);
      expect(answer).toMatchObject(restoreModel(model, model.snapshots.get(chosen)!.objects, step.namespace));
    }
  }
}

test(
  'random snapshots, restores, forks and trims agree with a model',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40 }), async (steps) => {
        const client = await newTenant(daemon.url);
        const model: Model = { now: new Map(), snapshots: new Map(), made: 0 };
        for (const step of steps) await run(client, model, step);
        expect(sorted(await read(client))).toEqual(sorted(model.now));
        for (const [name, { objects }] of model.snapshots) {
          expect([name, sorted(await read(client, name))]).toEqual([name, sorted(objects)]);
          const { data } = await done(client, 'GET', `/v1/snapshots/${name}/diff`);
          const differing = [...new Set([...objects.keys(), ...model.now.keys()])].filter(
            (one) => objects.get(one) !== model.now.get(one),
          );
          expect(data.map((one: Row) => nameOf(one.namespace, one.key))).toEqual(differing.sort());
        }
        expect(await failedChecks(client)).toEqual([]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  },
  600_000 + RUNS * 10_000,
);
