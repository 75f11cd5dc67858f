import { createLookUps } from '../../src/db/look_up.ts';

/** A load that the test completes. */
function pausedLoad() {
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

test('look-ups of one turn of the event loop share a statement, and each gets its row', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = pausedLoad();
  const lookUps = ['a', 'b', 'absent', 'a'].map((id) => lookUp('key', id, load));
  await turn();
  expect(idsOf(loads)).toEqual([['a', 'b', 'absent']]);
  loads[0]!.answer();
  expect(await Promise.all(lookUps)).toEqual(['row of a', 'row of b', undefined, 'row of a']);
});

test('look-ups with different keys use separate statements', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = pausedLoad();
  const lookUps = [lookUp('one', 'a', load), lookUp('other', 'a', load)];
  await turn();
  expect(idsOf(loads)).toEqual([['a'], ['a']]);
  for (const { answer } of loads) answer();
  await Promise.all(lookUps);
});

test('while two loads are in flight, others wait and share the next one, with at most 32 ids', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = pausedLoad();
  const lookUps = [lookUp('key', 'a', load)];
  await turn();
  lookUps.push(lookUp('key', 'b', load));
  await turn();
  const more = Array.from({ length: 40 }, (_, i) => `id-${i}`);
  lookUps.push(...more.map((id) => lookUp('key', id, load)));
  await turn();
  expect(idsOf(loads)).toEqual([['a'], ['b']]);
  loads[0]!.answer();
  await turn();
  expect(idsOf(loads.slice(2))).toEqual([more.slice(0, 32)]);
  loads[1]!.answer();
  await turn();
  expect(idsOf(loads.slice(3))).toEqual([more.slice(32)]);
  for (const { answer } of loads) answer();
  expect(await Promise.all(lookUps)).toEqual(['a', 'b', ...more].map((id) => `row of ${id}`));
});

test('a failed load only fails the look-ups that shared it', async () => {
  const lookUp = createLookUps<string>();
  const { loads, load } = pausedLoad();
  const lookUps = Promise.allSettled([lookUp('key', 'a', load), lookUp('key', 'b', load)]);
  await turn();
  const later = lookUp('key', 'c', load);
  await turn();
  loads[0]!.fail(new Error('lost'));
  expect((await lookUps).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  loads[1]!.answer();
  expect(await later).toBe('row of c');
  const after = lookUp('key', 'd', load);
  await turn();
  loads[2]!.answer();
  expect(await after).toBe('row of d');
});
