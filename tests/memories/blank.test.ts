import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A text must have at least one visible character.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const note = (text: string) => ({ kind: 'note', text, channel: 'team' });
const make = async (body: unknown) => {
  const answer = await alice.request('POST', '/v1/memories', { body });
  expect([answer.status, answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};

test.each([
  ['empty', ''],
  ['blank', ' \t\n\u00a0\u3000'],
  ['zero-width', '\u200b\u200c\u200d\u2060\ufeff'],
  ['direction marks', '\u200e\u200f\u202a\u202e\u2066\u2069'],
  ['fillers', '\u115f\u1160\u3164\uffa0\u2800'],
  ['soft hyphen, joiner and variation selectors', '\u00ad\u034f\ufe0f\u{e0100}'],
  ['tags', '\u{e0001}\u{e0041}\u{e007f}'],
])('a blank memory text (%s) returns 422 on every path', async (_, text) => {
  const refused = {
    type: expect.stringContaining('validation'),
    errors: [{ pointer: expect.anything(), detail: 'must not be blank' }],
  };
  const request = async (method: string, path: string, body: unknown) => {
    const answer = await alice.request(method, path, { body });
    expect([answer.status, answer.body]).toEqual([422, expect.objectContaining(refused)]);
  };
  for (const kind of ['fact', 'note', 'rule', 'decision']) await request('POST', '/v1/memories', { kind, text, channel: 'team' });
  await request('POST', '/v1/memories', { kind: 'handoff', channel: 'team', body: { to_agent: 'a', problem: text } });
  await request('POST', '/v1/events', { ...message(''), kind: 'decision', content: { decision: text } });
  await request('POST', '/v1/events', { ...message(''), kind: 'task_update', content: { title: text, status: 'open' } });
  const { memory_id } = await make(note('seen'));
  await request('PATCH', `/v1/memories/${memory_id}`, { text });
  await request('POST', '/v1/edits', { target: memory_id, op: 'amend', patch: { text }, reason: 'r' });
});

test('a memory of a single emoji, accent or letter is accepted', async () => {
  for (const text of ['👍🏽', '❤️', '\u0301', 'ß', 'ท', '한', '🏴\u{e0067}\u{e0062}\u{e007f}'])
    expect((await make(note(text))).text).toBe(text);
});
