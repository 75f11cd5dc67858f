import { createLookUps } from '../../src/db/look_up.ts';

/** A load that is answered when the test says so. */
function held() {
  const loads: { ids: string[]; answer(): void; fail(error: Error): void }[] = [];
  const load = (ids: string[]) =>
    new Promise<Map<string, string>>((resolve, reject) =>
      loads.push({
        ids,
        answer: () => resolve(new Map(ids.filter((id) => id !== 'absent').map((id) => [id, `row of ${id}`]))),
        fail: reject,
      }),
    );
  return { loads, load };
}

const turn = () => new Promise(setImmediate);
const idsOf = (loads: { ids: string[] }[]) => loads.map(({ ids }) => ids);

test('look-ups of one turn of the event loop travel together, and each gets its own row', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = held();
  const asked = ['a', 'b', 'absent', 'a'].map((id) => lookUp('key', id, load));
  await turn();
  expect(idsOf(loads)).toEqual([['a', 'b', 'absent']]);
  loads[0]!.answer();
  expect(await Promise.all(asked)).toEqual(['row of a', 'row of b', undefined, 'row of a']);
});

test('look-ups with different keys travel apart', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = held();
  const asked = [lookUp('one', 'a', load), lookUp('other', 'a', load)];
  await turn();
  expect(idsOf(loads)).toEqual([['a'], ['a']]);
  for (const { answer } of loads) answer();
  await Promise.all(asked);
});

test('while two loads are on their way, others wait and share the next, 32 ids at most', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = held();
  const asked = [lookUp('key', 'a', load)];
  await turn();
  asked.push(lookUp('key', 'b', load));
  await turn();
  const more = Array.from({ length: 40 }, (_, i) => `id-${i}`);
  asked.push(...more.map((id) => lookUp('key', id, load)));
  await turn();
  expect(idsOf(loads)).toEqual([['a'], ['b']]);
  loads[0]!.answer();
  await turn();
  expect(idsOf(loads.slice(2))).toEqual([more.slice(0, 32)]);
  loads[1]!.answer();
  await turn();
  expect(idsOf(loads.slice(3))).toEqual([more.slice(32)]);
  for (const { answer } of loads) answer();
  expect(await Promise.all(asked)).toEqual(['a', 'b', ...more].map((id) => `row of ${id}`));
});

test('a load that fails fails those who shared it, and nobody else', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = held();
  const asked = Promise.allSettled([lookUp('key', 'a', load), lookUp('key', 'b', load)]);
  await turn();
  const later = lookUp('key', 'c', load);
  await turn();
  loads[0]!.fail(new Error('lost'));
  expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  loads[1]!.answer();
  expect(await later).toBe('row of c');
  const after = lookUp('key', 'd', load);
  await turn();
  loads[2]!.answer();
  expect(await after).toBe('row of d');
});
