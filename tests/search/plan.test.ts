import fc from 'fast-check';
import { hasTerm, MASK_TERMS, planSearch, type Survey, termWeight } from '../../src/search/plan.ts';
import { type Pool, rankPool } from '../../src/search/rank.ts';

const known = (weights: number[]) => ({
  weights,
  complete: weights.map(() => false),
  visible: 100,
  near_terms: [],
  near_full: [],
  least_length: 1,
});
/** Short passages of one actor without traits. */
const plain = (count: number) => ({
  near_keys: [],
  near: Array(count).fill([]),
  sizes: Array(count).fill(5),
  actors: Array(count).fill(0),
  traits: Array(count).fill(0),
  days: Array(count).fill(0),
});
const surveyOf = (terms: string[], masks: number[], scale: number): Survey => ({
  as_of_seq: Math.ceil(masks.length * scale),
  partial_index: false,
  terms,
  keys: terms.map((term) => term.charCodeAt(0)),
  scale,
  sampled: masks.length,
  seqs: masks.map((_, i) => Math.floor(1 + i * scale)),
  masks,
  rest: [],
  name_keys: [],
  min_score: 0,
});

/** Returns true if a set of terms (a bit mask) matches a query of quoted terms, &, | and parentheses. */
function matches(query: string, terms: string[], mask: number): boolean {
  const truths = terms.reduce(
    (text, term, i) => text.replaceAll(`'${term.charCodeAt(0)}'`, hasTerm(mask, i) ? ' true ' : ' false '),
    query,
  );
  return Boolean(new Function(`return (${truths.replaceAll('&', '&&').replaceAll('|', '||')})`)());
}

test('the query over the whole log matches exactly the term sets that reach the threshold, and each superset of a matching set', () => {
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

test('all matches of a small log are in the pool, and a term with 10⁶ passages is not scanned', () => {
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

test('a negative key is a single term of the query', () => {
  expect(planSearch({ ...surveyOf(['x', 'y'], [1], 1), keys: [-5, 7] }).full).toBe("'-5' | '7'");
});

test('a neighbour of the best passage ranks above an equally weak match elsewhere', () => {
  const pool = {
    seqs: [10, 20, 30],
    ordinals: [0, 0, 0],
    sessions: [1, 2, 3],
    masks: [3, 1, 1],
    ...plain(3),
    decisions: [],
    memories: [],
    weights: [],
    neighbours: [[10, 1, 11, 1, 5, 0, 0, 0, []]] as Pool['neighbours'],
  };
  const ranked = rankPool(pool, known([1, 2]), 10);
  expect(ranked.map(({ seq }) => seq)).toEqual([10, 11, 30, 20]);
});

test('the ranking does not depend on the order of the pool', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 5 })), { minLength: 1, maxLength: 60 }),
      (rows) => {
        const pool = (order: number[]) => ({
          seqs: order.map((i) => i + 1),
          ordinals: order.map(() => 0),
          sessions: order.map((i) => rows[i]![1]),
          masks: order.map((i) => rows[i]![0]),
          ...plain(order.length),
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

/** Returns `counts[i]` passages with the mask `i`. */
const masksOf = (counts: Record<number, number>): number[] =>
  Object.entries(counts).flatMap(([mask, count]) => Array<number>(count).fill(Number(mask)));
const setsOf = (query: string | null, terms: string[]): number[] =>
  query === null
    ? []
    : Array.from({ length: 2 ** terms.length }, (_, mask) => mask).filter((mask) => matches(query, terms, mask));

test('the weight of a term decreases with the number of visible passages that contain it', () => {
  expect(termWeight(99, 9.5)).toBeCloseTo(Math.log(11) ** 1.25);
  const whole = planSearch(surveyOf(['a', 'b'], masksOf({ 0: 7, 1: 2, 3: 1 }), 1));
  expect([whole.visible, ...whole.weights]).toEqual([10, termWeight(10, 3), termWeight(10, 1)]);
  // a term that is missing in the sample may still occur in the log
  const sampled = planSearch(surveyOf(['a', 'b'], masksOf({ 0: 8, 1: 2 }), 4));
  expect([sampled.visible, ...sampled.weights]).toEqual([40, termWeight(40, 10), termWeight(40, 2)]);
  const halved = planSearch(surveyOf(['a'], masksOf({ 0: 8, 1: 2 }), 2));
  expect(halved.weights).toEqual([termWeight(20, 5)]);
  expect(planSearch(surveyOf(['a'], [], 1)).visible).toBe(1);
});

test('up to 2,400 matches are all in the pool', () => {
  const some = surveyOf(['a', 'b'], masksOf({ 0: 9_000, 1: 2_399, 2: 1 }), 1);
  expect(planSearch(some)).toMatchObject({ full: "'97' | '98'", recent: null, recent_from: null, complete: [true, true] });
  const more = planSearch(surveyOf(['a', 'b'], masksOf({ 0: 9_000, 1: 2_400, 2: 1 }), 1));
  expect(more).toMatchObject({ full: "'98'", recent: "'97' | '98'", complete: [false, true] });
  expect(planSearch(surveyOf([], [0, 0], 1))).toMatchObject({ full: null, recent: null });
});

test('the threshold selects the heaviest term sets with together at most 800 expected matches', () => {
  const terms = ['a', 'b', 'c'];
  // a is in all passages, b in 500, c in 300, both in 10
  const masks = masksOf({ 1: 2_000, 3: 490, 5: 290, 7: 10 });
  expect(setsOf(planSearch(surveyOf(terms, masks, 1)).full, terms)).toEqual([2, 3, 4, 5, 6, 7]);
  // twice as many passages: those with b alone are too many
  expect(setsOf(planSearch(surveyOf(terms, masks, 2)).full, terms)).toEqual([4, 5, 6, 7]);
  const { full, complete } = planSearch(surveyOf(terms, masks, 10));
  expect(setsOf(full, terms)).toEqual([6, 7]);
  expect(complete).toEqual([false, false, false]);
});

test('exactly 800 expected matches are within the target', () => {
  const terms = ['a', 'b'];
  const taken = (having: number) => setsOf(planSearch(surveyOf(terms, masksOf({ 1: 3_000, 3: having }), 1)).full, terms);
  expect(taken(800)).toEqual([2, 3]);
  expect(taken(801)).not.toContain(1);
});

test('the index scans the list of the rarest term, and further lists up to 30,000 entries in total', () => {
  const terms = ['a', 'b', 'c'];
  // by weight alone, the passages with b and c are rare enough
  const taken = (b: number) => {
    const masks = masksOf({ 1: 5, 2: b / 100, 4: 400 });
    return setsOf(planSearch(surveyOf(terms, masks, 100)).full, terms);
  };
  expect(taken(29_500)).toContain(6);
  const short = taken(29_600);
  expect(short.length).toBeGreaterThan(0);
  for (const set of short) expect(set & 1).toBe(1);
});

test('a query of many terms uses the nine rarest', () => {
  const terms = Array.from('abcdefghijkl');
  const masks = terms.flatMap((_, i) => Array<number>(1_000 + i * 100).fill(1 << i));
  const { full, recent } = planSearch(surveyOf(terms, masks, 10));
  const keys = terms.map((term) => `'${term.charCodeAt(0)}'`);
  expect(full!.match(/'\d+'/g)!.filter((key) => !keys.slice(0, 9).includes(key))).toEqual([]);
  expect(recent).toBe(keys.join(' | '));
});

test('the recent query starts at about the 600th newest match, estimated by density or by the sampled matches if there are few', () => {
  const survey = (matching: number, scale: number): Survey => ({
    ...surveyOf(['a'], masksOf({ 1: matching }), scale),
    as_of_seq: 1_000_000,
  });
  expect(planSearch(survey(100, 1_000)).recent_from).toBe(994_000);
  expect(planSearch(survey(64, 1_000)).recent_from).toBe(990_625);
  // with 63 sampled matches: 600 matches are 0.6 of a sampled one at scale 1,000, and three at scale 200
  expect(planSearch(survey(63, 1_000)).recent_from).toBe(62_001);
  expect(planSearch(survey(63, 200)).recent_from).toBe(60 * 200 + 1);
  // fewer matches than that: from the first one
  expect(planSearch(survey(2_401, 1)).recent_from).toBe(Math.floor(1e6 - (600 * 1e6) / 2_401));
  expect(planSearch({ ...survey(100, 1_000), as_of_seq: 0 }).recent_from).toBe(1);
});

test('the index selects by audience if fewer than half of the sampled passages are visible', () => {
  const narrow = (seen: number, sampled: number) =>
    planSearch({ ...surveyOf(['a'], masksOf({ 1: seen }), 1), sampled }).narrow_audience;
  expect([narrow(4, 9), narrow(5, 10), narrow(0, 0)]).toEqual([true, false, false]);
});

test('of a query with more terms than a mask holds, the rarest ones of the sample are used', () => {
  const count = MASK_TERMS + 20;
  const keys = Array.from({ length: count }, (_, i) => i + 1);
  // passage n has the terms n and all after it: the first terms are the rarest
  const columns = Array.from({ length: count }, (_, row) => keys.map((_, term) => term >= row));
  const maskOf = (bits: boolean[]) => bits.reduce((sum, bit, i) => sum + (bit ? 2 ** i : 0), 0);
  const survey = {
    ...surveyOf(
      [],
      columns.map((bits) => maskOf(bits.slice(0, MASK_TERMS))),
      1,
    ),
    terms: keys.map(String),
    keys,
    rest: columns.map((bits) => keys.slice(MASK_TERMS).filter((_, i) => bits[MASK_TERMS + i])),
  };
  const plan = planSearch(survey);
  expect(plan.keys).toEqual(keys.slice(0, MASK_TERMS));
  expect(plan.weights).toEqual(plan.weights.toSorted((a, b) => b - a));
});

test('a term that occurs nowhere takes no place in a mask', () => {
  const keys = Array.from({ length: MASK_TERMS + 2 }, (_, i) => i + 1);
  const survey = { ...surveyOf([], [1, 1], 1), terms: keys.map(String), keys, rest: [[MASK_TERMS + 2], [MASK_TERMS + 2]] };
  expect(planSearch(survey).keys).toEqual([1, MASK_TERMS + 2]);
});

test('a mask tells each of 52 terms apart', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: MASK_TERMS, maxLength: MASK_TERMS }), (bits) => {
      const mask = bits.reduce((sum, bit, i) => sum + (bit ? 2 ** i : 0), 0);
      expect(bits.map((_, i) => hasTerm(mask, i))).toEqual(bits);
    }),
  );
});
