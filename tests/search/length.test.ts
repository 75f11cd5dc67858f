import { planSearch } from '../../src/search/plan.ts';
import { rankPool } from '../../src/search/rank.ts';

test('lengths count from 30 terms on for a query of up to 10 terms, and from 9 terms on for 16 and more', () => {
  const least = (count: number) => {
    const keys = Array.from({ length: count }, (_, i) => i);
    const empty = { masks: [0], rest: [], name_keys: [], min_score: 0, partial_index: false };
    return planSearch({ ...empty, as_of_seq: 1, terms: keys.map(String), keys, scale: 1, sampled: 1, seqs: [1] }).least_length;
  };
  expect([1, 10, 13, 16, 26].map((count) => Number(least(count).toFixed(9)))).toEqual([1, 1, 0.65, 0.3, 0.3]);
});

test('for a long query, a shorter passage with the same terms ranks first; for a short query, lengths up to 30 terms count alike', () => {
  const zeros = [0, 0];
  const pool = {
    seqs: [10, 20],
    sessions: [1, 2],
    sizes: [9, 24],
    masks: [1, 1],
    near: [[], []],
    ordinals: zeros,
    actors: zeros,
    traits: zeros,
    days: zeros,
    ...{ near_keys: [], decisions: [], memories: [], weights: [], neighbours: [] },
  };
  const plan = { weights: [1, 1], complete: [false, false], visible: 100, near_terms: [], near_full: [] };
  const rank = (least_length: number) => rankPool(pool, { ...plan, least_length }, 10);
  expect(rank(1).map(({ seq }) => seq)).toEqual([20, 10]);
  expect(rank(0.3).map(({ seq }) => seq)).toEqual([10, 20]);
  // each has one of two terms, whatever its length
  expect(rank(0.3)[0]!.scores.coverage).toBe(0.5);
});
