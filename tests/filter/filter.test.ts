import fc from 'fast-check';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

type Json = Record<string, any>;
const list = (client: Client, filter: unknown, more = '') =>
  client.request('GET', `/v1/events?limit=1000${more}&filter=${encodeURIComponent(JSON.stringify(filter))}`);
const record = async (client: Client, events: unknown[]) => {
  const { status, body } = await client.request('POST', '/v1/events', { body: { events } });
  expect([status, body]).toEqual([201, expect.anything()]);
};

const hostile = [
  "'; drop table events; --",
  '" || (1 == 1) || "',
  '$v0',
  '$.kinds[*] ? (@ == "x")',
  '\\',
  '\\"',
  '%',
  '.*',
  '[a-z]+',
  '(?i)x',
  'é',
  '\u202e',
  '\u2028',
  '\u007f',
  '\u0001\b\f\n\r\t\v',
  '😀',
  '\uffff',
  '',
  ' ',
  'null',
];
const names = ['a', 'b', "it's", '"', '\\', '$', '@', '*', 'x y', 'ключ', 'constructor', 'toString', '[0]'];
const scalar = fc.oneof(
  fc.constantFrom(...hostile),
  fc.constantFrom(0, -0, 1, 1.5, -2, 1e21, 0.1, 2 ** 53, 1e-7),
  fc.boolean(),
  fc.constant(null),
);
const tree: fc.Memo<unknown> = fc.memo((n) =>
  n <= 1
    ? fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }))
    : fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }), fc.dictionary(fc.constantFrom(...names), tree(n - 1), { maxKeys: 4 })),
);
const anyEvent = fc.record(
  {
    session_id: fc.constantFrom('s1', 's2', "it's"),
    channel: fc.constantFrom('private', 'public', 'team', 'agent'),
    actor: fc.record({ type: fc.constantFrom('human', 'agent'), id: fc.constantFrom('alice', 'planner') }),
    kind: fc.constant('message'),
    content: fc.constant({ text: '' }),
    tags: fc.array(fc.constantFrom('x', 'y', ...hostile.filter((text) => text !== '')), { maxLength: 3 }),
    metadata: fc.dictionary(fc.constantFrom(...names), tree(3), { maxKeys: 6 }),
    project_id: fc.constantFrom('p1', 'p2'),
    occurred_at: fc.constantFrom('2024-01-01T00:00:00Z', '2024-06-01T00:00:00.123+02:00', '2025-01-01T00:00:00Z'),
  },
  { requiredKeys: ['session_id', 'channel', 'actor', 'kind', 'content'] },
);

const comparison = fc.constantFrom('gt', 'gte', 'lt', 'lte');
const one = <T>(operator: fc.Arbitrary<string>, value: fc.Arbitrary<T>) =>
  fc.tuple(operator, value).map(([op, v]) => ({ [op]: v }));
const equal = fc.constantFrom('eq', 'ne');
const within = fc.constantFrom('in', 'nin');
const exists = fc.boolean().map((value) => ({ exists: value }));
const clauses = (name: fc.Arbitrary<string>, asked: fc.Arbitrary<unknown>) =>
  fc.tuple(name, asked).map(([key, value]) => ({ [key]: value }));
const word = fc.constantFrom('s1', 'p1', 'alice', 'human', 'message', 'private', "it's", 'none');
const time = fc.constantFrom('2024-01-01T00:00:00Z', '2024-05-31T22:00:00.123Z', '2026-01-01T00:00:00Z');
const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => ['metadata', ...parts].join('.'));
const leaf = fc.oneof(
  clauses(
    fc.constantFrom(
      'kind',
      'session_id',
      'user_id',
      'agent_id',
      'project_id',
      'channel',
      'sensitivity',
      'actor.type',
      'actor.id',
    ),
    fc.oneof(word, one(equal, word), one(within, fc.array(word, { maxLength: 3 })), exists),
  ),
  clauses(
    fc.constant('tags'),
    fc.oneof(
      one(
        fc.constant('contains'),
        fc.oneof(fc.constantFrom('x', ...hostile), fc.array(fc.constantFrom('x', 'y'), { maxLength: 2 })),
      ),
      exists,
    ),
  ),
  clauses(
    fc.constant('occurred_at'),
    fc.oneof(one(fc.oneof(equal, comparison), time), one(within, fc.array(time, { maxLength: 2 }))),
  ),
  clauses(fc.constant('seq'), one(fc.oneof(equal, comparison), fc.nat(40))),
  clauses(
    path,
    fc.oneof(
      scalar,
      one(equal, scalar),
      one(comparison, fc.oneof(fc.constantFrom(...hostile), fc.constantFrom(0, 1, 1.5, 1e21))),
      one(within, fc.array(scalar, { maxLength: 4 })),
      one(fc.constant('contains'), scalar),
      exists,
    ),
  ),
);
const anyFilter: fc.Memo<unknown> = fc.memo((n) =>
  n <= 1
    ? leaf
    : fc.oneof(
        leaf,
        fc.tuple(fc.constantFrom('and', 'or'), fc.array(anyFilter(n - 1), { maxLength: 3 })).map(([op, of]) => ({ [op]: of })),
        anyFilter(n - 1).map((of) => ({ not: of })),
        fc.tuple(leaf, leaf).map(([a, b]) => ({ ...a, ...b })),
      ),
);

/** A simple interpreter of filters to compare with. */
function holds(event: Json, filter: any): boolean {
  return Object.entries(filter).every(([key, value]: [string, any]) => {
    if (key === 'and') return value.every((inner: unknown) => holds(event, inner));
    if (key === 'or') return value.some((inner: unknown) => holds(event, inner));
    if (key === 'not') return !holds(event, value);
    const condition: Json = typeof value === 'object' && value !== null ? value : { eq: value };
    return Object.entries(condition).every(([operator, wanted]) =>
      judge(valueAt(event, key), operator, key === 'occurred_at' ? timesOf(wanted) : wanted),
    );
  });
}
const timesOf = (value: any): any => (Array.isArray(value) ? value.map(timesOf) : Date.parse(value));
function valueAt(event: Json, key: string): any {
  if (key === 'occurred_at') return Date.parse(event.occurred_at);
  if (key === 'tags') return event.tags.length > 0 ? event.tags : undefined;
  let at: any = event;
  for (const part of key.split('.')) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, part)) return undefined;
    at = at[part];
  }
  return at;
}
const points = (text: string) => [...text].map((c) => c.codePointAt(0)!);
function order(a: any, b: any): number | undefined {
  if (typeof a !== typeof b || !['string', 'number'].includes(typeof a)) return undefined;
  if (typeof a === 'number') return a - b;
  const [x, y] = [points(a), points(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i += 1) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return x.length - y.length;
}
function judge(value: any, operator: string, wanted: any): boolean {
  const sorted = () => order(value, wanted);
  switch (operator) {
    case 'eq':
      return value === wanted;
    case 'ne':
      return value !== wanted;
    case 'in':
      return wanted.some((one: unknown) => value === one);
    case 'nin':
      return !wanted.some((one: unknown) => value === one);
    case 'exists':
      return (value !== undefined) === wanted;
    case 'contains':
      return (Array.isArray(wanted) ? wanted : [wanted]).every((one) =>
        Array.isArray(value)
          ? value.includes(one)
          : typeof value === 'string' && typeof one === 'string' && one !== '' && value.includes(one),
      );
    case 'gt':
      return (sorted() ?? Number.NaN) > 0;
    case 'gte':
      return (sorted() ?? Number.NaN) >= 0;
    case 'lt':
      return (sorted() ?? Number.NaN) < 0;
    default:
      return (sorted() ?? Number.NaN) <= 0;
  }
}

test('the database and a simple interpreter agree on random filters and events', async () => {
  const alice = await newTenant(daemon.url);
  const made = fc.sample(anyEvent, { numRuns: 60, seed: 20_261_121 });
  await record(alice, made);
  const everything = (await list(alice, {})).body.data as Json[];
  expect(everything).toHaveLength(60);
  await fc.assert(
    fc.asyncProperty(anyFilter(4), async (filter) => {
      const { status, body } = await list(alice, filter);
      expect([status, body.errors]).toEqual([200, undefined]);
      expect(body.data.map(({ seq }: Json) => seq)).toEqual(
        everything.filter((event) => holds(event, filter)).map(({ seq }) => seq),
      );
    }),
    { seed: 20_261_121, numRuns: 600 },
  );
}, 120_000);

test('hostile values and names are only compared', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    hostile.map((text, i) => message('', { metadata: { [names[i % names.length]!]: text, i } })),
  );
  for (const [i, text] of hostile.entries()) {
    const name = `metadata.${names[i % names.length]}`;
    const found = async (filter: unknown) => (await list(alice, filter)).body.data.map(({ metadata }: Json) => metadata.i);
    expect([text, await found({ [name]: text })]).toEqual([text, [i]]);
    expect([text, await found({ [name]: { in: [text] } })]).toEqual([text, [i]]);
    if (text !== '') expect([text, await found({ [name]: { contains: text } })]).toEqual([text, expect.arrayContaining([i])]);
  }
});

test.each([
  [{ kindd: 'x' }, 'filter.kindd'],
  [{ and: [{ kindd: 'x' }] }, 'filter.and.0.kindd'],
  [{ and: { kind: 'x' } }, 'filter.and'],
  [{ not: [{ kind: 'x' }] }, 'filter.not'],
  [{ kind: { equals: 'x' } }, 'filter.kind.equals'],
  [{ kind: { gt: 'x' } }, 'filter.kind.gt'],
  [{ kind: {} }, 'filter.kind'],
  [{ kind: 7 }, 'filter.kind'],
  [{ kind: { in: 'x' } }, 'filter.kind.in'],
  [{ kind: { in: ['x', 7] } }, 'filter.kind.in.1'],
  [{ tags: 'x' }, 'filter.tags'],
  [{ occurred_at: { gt: 'yesterday' } }, 'filter.occurred_at.gt'],
  [{ occurred_at: { gt: '2024-01-01' } }, 'filter.occurred_at.gt'],
  [{ pinned: { gt: true } }, 'filter.pinned.gt'],
  [{ seq: '1' }, 'filter.seq'],
  [{ metadata: { exists: true } }, 'filter.metadata'],
  [{ 'metadata.': 'x' }, 'filter.metadata.'],
  [{ 'metadata.a': { eq: [1] } }, 'filter.metadata.a.eq'],
  [{ 'metadata.a': { lt: true } }, 'filter.metadata.a.lt'],
  [{ kind: { exists: 'yes' } }, 'filter.kind.exists'],
  [{ constructor: 'x' }, 'filter.constructor'],
  [[], 'filter'],
  [{ kind: { in: Array(101).fill('x') } }, 'filter.kind.in'],
  [{ and: Array(129).fill({ kind: 'x' }) }, 'filter.and.128.kind'],
  [{ and: Array(200).fill({}) }, 'filter.and.128'],
  [{ kind: { in: Array(100).fill('x') }, session_id: { nin: Array(29).fill('x') } }, 'filter.session_id.nin'],
  [{ 'metadata.a': { contains: Array(17).fill('x') } }, 'filter.metadata.a.contains'],
] as [unknown, string][])('invalid filters are rejected with the location (%#)', async (filter, parameter) => {
  const alice = await newTenant(daemon.url);
  const { status, body } = await list(alice, filter);
  expect([status, body.errors]).toEqual([422, [{ parameter, detail: expect.any(String) }]]);
});

test('nesting is limited, and text that is not JSON is rejected', async () => {
  const alice = await newTenant(daemon.url);
  const nested = (n: number): unknown => (n === 0 ? { kind: 'message' } : { not: nested(n - 1) });
  expect((await list(alice, nested(7))).status).toBe(200);
  expect((await list(alice, nested(8))).status).toBe(422);
  expect((await list(alice, nested(500))).status).toBe(422);
  for (const text of ['{', '', '{"kind":"\\u0000"}', '{"kind":"\\ud800"}', '{"metadata.\\u0000":1}', '{"seq":1e999}'])
    expect([text, (await alice.request('GET', `/v1/events?filter=${encodeURIComponent(text)}`)).status]).toEqual([text, 422]);
});

test('events match by fields of the memory that they made', async () => {
  const alice = await newTenant(daemon.url);
  await record(alice, [
    message('no memory'),
    { ...message(''), kind: 'decision', content: { decision: 'tabs' } },
    { ...message(''), kind: 'task_update', content: { task_id: 'T', title: 'sort', status: 'open' } },
  ]);
  const kinds = async (filter: unknown) => (await list(alice, filter)).body.data.map(({ kind }: Json) => kind);
  expect(await kinds({ importance: { gte: 0.9 } })).toEqual(['decision']);
  expect(await kinds({ status: 'active' })).toEqual(['decision', 'task_update']);
  expect(await kinds({ kind: 'task' })).toEqual(['task_update']);
  expect(await kinds({ kind: { in: [] } })).toEqual([]);
  expect(await kinds({ pinned: { exists: false } })).toEqual(['message']);
});
