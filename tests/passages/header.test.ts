import { headerOf } from '../../src/passages/header.ts';
import { passagesOf } from '../../src/passages/passages.ts';

const about = { actor_id: 'coder', kind: 'tool_call', tags: ['topic:storage'], names: ['readFile'] };

test('a header has the actor, kind, names and labels', () => {
  expect(headerOf(about)).toBe('coder tool call readFile topic storage');
});

test('the tags of an event are read once, however many passages it has', () => {
  let reads = 0;
  const tags = new Proxy(
    Array.from({ length: 256 }, (_, i) => `t:${i}`),
    {
      get: (target, key) => {
        if (/^\d+$/.test(String(key))) reads += 1;
        return Reflect.get(target, key);
      },
    },
  );
  const passages = passagesOf({ kind: 'message', actor_id: 'alice', content: { text: 'A sentence. '.repeat(20_000) }, tags });
  expect(passages.length).toBeGreaterThan(250);
  expect(reads).toBeLessThanOrEqual(256);
});

test('a header is truncated to 1,000 characters without splitting a surrogate pair', () => {
  const of = (tag: string) => headerOf({ actor_id: 'a', kind: 'message', names: [], tags: [tag] });
  expect(of('t'.repeat(2_000))).toBe(`a ${'t'.repeat(998)}`);
  expect(of(`${'t'.repeat(997)}😀`)).toBe(`a ${'t'.repeat(997)}\ufffd`);
});

test('the header of a message omits the kind and empty names', () => {
  expect(headerOf({ actor_id: 'ann', kind: 'message', names: [''], tags: ['a_b/c-d'] })).toBe('ann a b c d');
});
