import fc from 'fast-check';
import { hasTerm, planSearch, type Survey } from '../../src/search/plan.ts';
import { rankPool } from '../../src/search/rank.ts';

const known = (weights: number[]) => ({ weights, complete: weights.map(() => false), visible: 100 });
const surveyOf = (terms: string[], masks: number[], scale: number): Survey => ({
  as_of_seq: Math.ceil(masks.length * scale),
  partial_index: false,
  terms,
  keys: terms.map((term) => term.charCodeAt(0)),
  scale,
  sampled: masks.length,
  seqs: masks.map((_, i) => Math.floor(1 + i * scale)),
  masks,
});

/** Whether a set of terms (as bits) matches a query made of quoted terms, &, | and brackets. */
function matches(query: string, terms: string[], mask: number): boolean {
  const truths = terms.reduce(
    (text, term, i) => text.replaceAll(`'${term.charCodeAt(0)}'`, hasTerm(mask, i) ? ' true ' : ' false '),
    query,
  );
  return Boolean(new Function(`return (${truths.replaceAll('&', '&&').replaceAll('|', '||')})`)());
}

test('the query over the whole log asks for exactly the term sets that weigh enough: a superset of one it takes is taken', () => {
  const terms = ['a', 'b', 'c', 'd', 'e'];
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 31 }), { minLength: 600, maxLength: 600 }),
      fc.double({ min: 5, max: 500, noNaN: true }),
      (masks, scale) => {
        const { full, recent, weights } = planSearch(surveyOf(terms, masks, scale));
        const weigh = (mask: number) => weights.reduce((sum, weight, i) => sum + (hasTerm(mask, i) ? weight : 0), 0);
        const taken =
          full === null ? [] : Array.from({ length: 32 }, (_, mask) => mask).filter((mask) => matches(full, terms, mask));
        const least = Math.min(...taken.map(weigh));
        for (let mask = 0; mask < 32; mask += 1) if (weigh(mask) > least + 1e-6) expect(taken).toContain(mask);
        if (recent !== null) expect(matches(recent, terms, 1)).toBe(true);
      },
    ),
    { numRuns: 100 },
  );
});

test('a small log is taken whole, a term of 10⁶ passages is left to the rarer ones', () => {
  expect(planSearch(surveyOf(['x', 'y'], [1, 2, 3, 0], 1))).toMatchObject({ full: "'120' | '121'", recent: null });
  const common = planSearch(
    surveyOf(
      ['x', 'y'],
      Array.from({ length: 2000 }, (_, i) => (i === 7 ? 3 : 1)),
      500,
    ),
  );
  expect(common.full).toBe("'121'");
  expect(common.recent).toBe("'120' | '121'");
});

test('a key below zero is one term of the query', () => {
  expect(planSearch({ ...surveyOf(['x', 'y'], [1], 1), keys: [-5, 7] }).full).toBe("'-5' | '7'");
});

test('a passage beside the best one comes before one that shares as little and stands elsewhere', () => {
  const pool = {
    seqs: [10, 20, 30],
    ordinals: [0, 0, 0],
    sessions: [1, 2, 3],
    masks: [3, 1, 1],
    decisions: [],
    memories: [],
    weights: [],
    neighbours: [[10, 1, 11, 1]] as [number, number, number, number][],
  };
  const ranked = rankPool(pool, known([1, 2]), 10);
  expect(ranked.map(({ seq }) => seq)).toEqual([10, 11, 30, 20]);
});

test('ranking is the same whatever order the pool came in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 5 })), { minLength: 1, maxLength: 60 }),
      (rows) => {
        const pool = (order: number[]) => ({
          seqs: order.map((i) => i + 1),
          ordinals: order.map(() => 0),
          sessions: order.map((i) => rows[i]![1]),
          masks: order.map((i) => rows[i]![0]),
          decisions: [],
          memories: [],
          weights: [],
          neighbours: [],
        });
        const order = rows.map((_, i) => i);
        const seqs = (ranked: { seq: number }[]) => ranked.map(({ seq }) => seq);
        expect(seqs(rankPool(pool(order.toReversed()), known([3, 2, 1]), 50))).toEqual(
          seqs(rankPool(pool(order), known([3, 2, 1]), 50)),
        );
      },
    ),
  );
});
