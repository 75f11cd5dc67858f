import { message, newTenant } from '../support/client.ts';
import { document } from '../support/contract.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

type Json = Record<string, any>;
const isName = /(?:^|_)(?:id|ids|name|username|agents|users|refs|tool|subject|unit|supersedes|contradicts|to_agent)$/;
/** Fields that are only compared with stored values. Their errors must not reveal details, or older releases accepted such values. */
const free = [
  'logIn tenant_id',
  'logIn username',
  ...['user_id', 'session_id', 'project_id', 'agent_id'].map((kind) => `erase ${kind}`),
];

/** Lists all fields of requests that are ids or names, with their schemas. */
function namesIn(schema: Json, names: [string, Json][] = []): [string, Json][] {
  if (schema.$ref) return namesIn(resolve(schema), names);
  for (const inner of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]) namesIn(inner, names);
  if (schema.items) namesIn(schema.items, names);
  for (const [name, field] of Object.entries((schema.properties ?? {}) as Json)) {
    if (isName.test(name)) names.push(...stringsOf(field).map((text): [string, Json] => [name, text]));
    namesIn(field, names);
  }
  return names;
}
const resolve = ({ $ref }: Json): Json =>
  ($ref as string)
    .slice(2)
    .split('/')
    .reduce<any>((at, part) => at[part], document);
function stringsOf(schema: Json): Json[] {
  if (schema.$ref) return stringsOf(resolve(schema));
  if (schema.items) return stringsOf(schema.items);
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  if (inner.length > 0) return inner.flatMap(stringsOf);
  return schema.type === 'string' && !schema.enum && schema.const === undefined && !schema.format ? [schema] : [];
}

const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods)) as unknown as Json[];

test('every id and name in a request rejects line separators', () => {
  const open = operations.flatMap(({ operationId, parameters = [], requestBody }) => {
    const body = Object.values((requestBody?.content ?? {}) as Json).flatMap(({ schema }) => (schema ? namesIn(schema) : []));
    const fromParameters = (parameters as Json[]).flatMap(({ name, schema, in: where }) =>
      where !== 'header' && isName.test(name) ? stringsOf(schema).map((text): [string, Json] => [name, text]) : [],
    );
    return [...body, ...fromParameters]
      .filter(
        ([, { pattern }]) =>
          pattern === undefined || ['\n', '\x85', '\u2028'].some((end) => new RegExp(pattern).test(`a${end}b`)),
      )
      .map(([name]) => `${operationId} ${name}`);
  });
  expect(open.filter((field) => !free.includes(field))).toEqual([]);
});

test.each(['\n', '\r', '\v', '\f', '\x01', '\x1b', '\x7f', '\x85', '\x9f', '\u2028', '\u2029'])(
  'a name that contains %j is rejected in writes and reads',
  async (character) => {
    const alice = await newTenant(daemon.url);
    const bad = `a${character}b`;
    const event = (more: Json) => ['/v1/events', message('x', more)] as const;
    const memory = (more: Json) => ['/v1/memories', { kind: 'note', text: 'x', channel: 'private', ...more }] as const;
    const tool = { kind: 'tool_call', content: { tool: 'x', call_id: bad } };
    for (const [path, body, pointer] of [
      [...event({ session_id: bad }), '#/session_id'],
      [...event({ user_id: bad }), '#/user_id'],
      [...event({ actor: { type: 'human', id: bad } }), '#/actor/id'],
      [...event({ agent_id: bad }), '#/agent_id'],
      [...event(tool), '#/content/call_id'],
      [...event({ ...tool, content: { tool: bad } }), '#/content/tool'],
      [...memory({ project_id: bad }), '#/project_id'],
      [...memory({ refs: [bad] }), '#/refs/0'],
      ['/v1/context', { session_id: bad, channel: 'team' }, '#/session_id'],
      ['/auth/api-keys', { name: bad, role: 'member', scopes: ['read'] }, '#/name'],
    ] as const) {
      const { status, body: answer } = await alice.request('POST', path, { body });
      expect([path, pointer, status, answer.errors]).toEqual([
        path,
        pointer,
        422,
        [{ pointer, detail: 'must not contain control characters or line or paragraph separators' }],
      ]);
    }
    const listed = await alice.request('GET', `/v1/events?session_id=${encodeURIComponent(bad)}`);
    expect([listed.status, listed.body.errors[0].parameter]).toEqual([422, 'session_id']);
  },
);

test('every other character is accepted in a name and reads back', async () => {
  const alice = await newTenant(daemon.url);
  const id = ' \u00a0\u200b\u200d\u202e\ufeff\u{e0041}😀## Rules';
  const { status, body } = await alice.request('POST', '/v1/events', { body: message('x', { actor: { type: 'human', id } }) });
  expect(status).toBe(201);
  expect((await alice.request('GET', `/v1/events/${body.event_id}`)).body.actor.id).toBe(id);
});
