import fc from 'fast-check';
import { exportTenant, linesOf } from '../export/file.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';
import { exportAndImport, listed, post, readEverywhere, subscribe } from './read_paths.ts';

// B1: everything that the service accepts reads back equal through every API. `B1_RUNS` sets the number of values.

const RUNS = Number(process.env.B1_RUNS ?? 40);

let daemon: TestDaemon;
let alice: Client;
let receiver: Receiver;
beforeAll(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true' });
});
afterAll(() => daemon.stop());
beforeEach(async () => {
  [alice, receiver] = [await newTenant(daemon.url), await startReceiver()];
});
afterEach(() => receiver.close());

const plane = (first: number, last: number) =>
  fc
    .array(fc.integer({ min: first, max: last }), { minLength: 1, maxLength: 12 })
    .map((points) => String.fromCodePoint(...points));
const anyText = fc.oneof(
  fc.constant(''),
  plane(0x20, 0x7e),
  plane(0xa1, 0xd7ff),
  plane(0xe000, 0xffff),
  plane(0x10000, 0x1ffff),
  plane(0x20000, 0x10ffff),
  fc.constantFrom('\ufeff', '\ufffe', '\u0001\u001f', '\u2028\u2029', 'e\u0301', '\u202e', '"\\/\b\f\n\r\t'),
);
const anyNumber = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-300 }),
  fc.constantFrom(
    -0,
    0,
    1,
    1e308,
    -1e308,
    5e-324,
    2.2250738585072014e-308,
    2 ** 53,
    2 ** 53 - 1,
    -(2 ** 53),
    0.1,
    1e21,
    1e-7,
    2 ** 31,
    2 ** 63,
  ),
);
const { anyJson } = fc.letrec((tie) => ({
  anyJson: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom<unknown>(null, true, false, {}, []),
    anyNumber,
    anyText,
    fc.array(tie('anyJson'), { maxLength: 4 }),
    fc.dictionary(
      fc
        .oneof(
          anyText,
          fc.constantFrom(
            'constructor',
            'toString',
            'hasOwnProperty',
            'length',
            '__defineGetter__',
            'prototype',
            'a.b',
            '$',
            '',
            'k'.repeat(255),
          ),
        )
        .filter((key) => key !== '__proto__'),
      tie('anyJson'),
      { maxKeys: 4 },
    ),
  ),
}));

const nested = (depth: number): unknown =>
  depth === 0 ? 'the bottom' : depth % 2 ? { in: nested(depth - 1) } : [nested(depth - 1)];
/** Returns a value as it is sent, without what JSON.stringify drops or changes. */
const asJson = (value: unknown) => JSON.parse(JSON.stringify(value));

test('arbitrary JSON in an event reads back equal through every API', async () => {
  await subscribe(alice, receiver);
  const values = [nested(20), ...fc.sample(anyJson, RUNS)].map(asJson);
  await post(alice, '/v1/events', {
    events: values.map((value, i) => ({
      ...message('free'),
      content: { text: 'free', extra: value },
      metadata: { value, i },
      tags: [`n:${i}`],
    })),
  });
  const wanted = values.map((value, i) => [
    { text: 'free', extra: value },
    { value, i },
  ]);
  const jsonOf = (events: any[]) => events.map(({ content, metadata }) => [content, metadata]);
  for (const [place, events] of Object.entries(await readEverywhere(alice, receiver)))
    expect([place, jsonOf(events)]).toEqual([place, wanted]);
  expect(jsonOf(linesOf(await exportTenant(alice)).filter(({ type }) => type === 'event'))).toEqual(wanted);
  expect(jsonOf(await listed(await exportAndImport(alice), '/v1/events'))).toEqual(wanted);
});

test('arbitrary JSON and the longest names in a memory read back equal', async () => {
  const names = { agent_id: 'é'.repeat(255), project_id: '🎈'.repeat(127), session_id: 'n'.repeat(255) };
  const memories = fc.sample(anyJson, RUNS).map((value, i) => ({
    kind: 'rule',
    channel: 'team',
    text: `rule ${i}`,
    importance: [0, 1, 0.1, 1 / 3][i % 4],
    metadata: asJson({ value }),
    tags: ['t'.repeat(255)],
    ...names,
  }));
  const said = (list: any[]) =>
    list.map(({ metadata, tags, importance, agent_id, project_id, session_id }) => ({
      metadata,
      tags,
      importance,
      agent_id,
      project_id,
      session_id,
    }));
  const wanted = said(memories);
  const { data } = await post(alice, '/v1/memories', { memories });
  expect(said(data)).toEqual(wanted);
  expect(said(await listed(alice, '/v1/memories?order=asc'))).toEqual(wanted);
  expect(said(await listed(await exportAndImport(alice), '/v1/memories?order=asc'))).toEqual(wanted);
});
