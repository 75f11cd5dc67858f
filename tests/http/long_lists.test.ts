import fc from 'fast-check';
import { jsonInSteps, serializeLongLists } from '../../src/http/long_lists.ts';
import type { Reply } from '../../src/http/route.ts';
import { message, newTenant } from '../support/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { runToEnd } from '../support/steps.ts';

const never = () => new AbortController().signal;

test('a body serialized in steps equals the output of JSON.stringify', () => {
  const value = fc.oneof(fc.jsonValue(), fc.constant(undefined), fc.array(fc.option(fc.jsonValue(), { nil: undefined })));
  fc.assert(
    fc.property(fc.dictionary(fc.string(), value), (body) => {
      expect(runToEnd(jsonInSteps(body))).toBe(JSON.stringify(body));
    }),
  );
});

test('serializing a long list pauses after each item', () => {
  const steps = jsonInSteps({ data: Array.from({ length: 1000 }, (_, n) => ({ n })), next_cursor: null });
  let pauses = 0;
  while (!steps.next().done) pauses += 1;
  expect(pauses).toBe(1000);
});

test('a short list, bytes and an absent body are not changed', async () => {
  for (const body of [{ data: [1, 2] }, Buffer.from('x'.repeat(1000)), undefined, 'text'] as Reply['body'][]) {
    const reply = { body };
    expect(await serializeLongLists(reply, never)).toBe(reply);
  }
});

test('an item that cannot be serialized fails the whole answer', async () => {
  const bad = {
    toJSON() {
      throw new Error('unreadable');
    },
  };
  await expect(serializeLongLists({ body: { data: [...Array(20).fill(1), bad] } }, never)).rejects.toThrow('unreadable');
});

test('a long page has the same form and headers as a short one', async () => {
  const daemon = await startTestDaemon();
  const alice = await newTenant(daemon.url);
  const events = Array.from({ length: 40 }, (_, i) => message(`note ${i} “é”`));
  await alice.request('POST', '/v1/events', { body: { events } });
  const page = (limit: number) => alice.request('GET', `/v1/events?channel=private&limit=${limit}`);
  const [long, short] = [await page(40), await page(5)];
  await daemon.stop();
  expect([long.status, long.headers.get('content-type')]).toEqual([200, short.headers.get('content-type')]);
  expect(Object.keys(long.body)).toEqual(Object.keys(short.body));
  expect(long.body.data).toHaveLength(40);
  expect(long.body.data.slice(0, 5)).toEqual(short.body.data);
});
