import { termWeight } from '../../src/search/plan.ts';
import { limitPerEvent, onePerMemory, type Pool, type Ranked, rankPool, scoring } from '../../src/search/rank.ts';

const known = (weights: number[]) => ({
  weights,
  complete: weights.map(() => false),
  visible: 100,
  near_terms: [],
  near_full: [],
  least_length: 1,
});
/** Returns a pool of the passages [seq, ordinal, session, mask]. */
const poolOf = (rows: [number, number, number, number][], more: Partial<Pool> = {}): Pool => ({
  seqs: rows.map(([seq]) => seq),
  ordinals: rows.map(([, ordinal]) => ordinal),
  sessions: rows.map(([, , session]) => session),
  masks: rows.map(([, , , mask]) => mask),
  near_keys: [],
  near: rows.map(() => []),
  sizes: rows.map(() => 5),
  actors: rows.map(() => 0),
  traits: rows.map(() => 0),
  days: rows.map(() => 0),
  decisions: [],
  memories: [],
  weights: [],
  neighbours: [],
  ...more,
});
/** A neighbour: the event, its distance, and the seq and mask of the neighbour. */
const beside = (
  centre: number,
  distance: number,
  seq: number,
  mask: number,
  [actor, traits] = [0, 0],
): Pool['neighbours'][number] => [centre, distance, seq, mask, 5, actor!, traits!, 0, []];
const rounded = (value: number) => Math.round(value * 1e4) / 1e4;
const scoresOf = (ranked: Ranked[]) =>
  ranked.map(({ seq, score, scores }) => [seq, ...[scores.passage, scores.around, scores.session, score].map(rounded)]);
const placesOf = (ranked: Ranked[]) => ranked.map(({ seq, ordinal }) => [seq, ordinal]);

test('a score grows with the sum s of the scores of the passage, its neighbours and its session: s / (s + 0.5)', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b11],
      [20, 0, 2, 0b01],
    ],
    {
      neighbours: [beside(10, 1, 11, 0b01), beside(10, -1, 9, 0b10), beside(10, 2, 12, 0b01), beside(10, -2, 8, 0b01)],
    },
  );
  // weights 1 and 2: passage 10 scores 3, 9 scores 2, the others 1; the best two of session 10 sum to 5, session 20 has one that scores 1
  expect(scoresOf(rankPool(pool, known([1, 2]), 10))).toEqual([
    [10, 1, 0.4333, 0.8, 0.8171],
    [9, 0.6667, 0.5, 0.8, 0.7973],
    [11, 0.3333, 0.5, 0.6667, 0.75],
    [12, 0.3333, 0.15, 0.3867, 0.635],
    [8, 0.3333, 0.15, 0.3867, 0.635],
    [20, 0.3333, 0, 0.0533, 0.4361],
  ]);
  expect(scoring).toMatchObject({ passage: 1, next: 0.5, second: 0.15, session: 0.8 });
  expect(rankPool(pool, known([1, 2]), 2).map(({ seq }) => seq)).toEqual([10, 9]);
});

test('a neighbour of two passages is ranked once, with its own mask if it is in the pool', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b10],
      [11, 0, 1, 0b01],
    ],
    {
      neighbours: [beside(10, 1, 11, 0b11), beside(10, 2, 12, 0b01), beside(11, 1, 12, 0b01)],
    },
  );
  const ranked = rankPool(pool, known([1, 2]), 10);
  expect(ranked.map(({ seq }) => seq)).toEqual([10, 11, 12]);
  expect(ranked.map(({ scores }) => scores.passage)).toEqual([1, 0.5, 0.5]);
});

test('the neighbour score uses the best passage of each adjacent event and no other passage of the same event', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b01],
      [10, 1, 1, 0b11],
      [11, 0, 1, 0b01],
    ],
    { neighbours: [beside(10, 1, 11, 0b01)] },
  );
  const around = new Map(
    rankPool(pool, known([1, 2]), 10).map(({ seq, ordinal, scores }) => [`${seq}.${ordinal}`, scores.around]),
  );
  expect(around.get('10.0')).toBeCloseTo(0.5 / 3);
  expect(around.get('10.1')).toBeCloseTo(0.5 / 3);
  expect(around.get('11.0')).toBeCloseTo(0.5);
});

test('the session score is the sum of its two best events, however many passages they have', () => {
  const long = Array.from({ length: 5 }, (_, ordinal): [number, number, number, number] => [10, ordinal, 1, 0b01]);
  const ranked = rankPool(poolOf([...long, [20, 0, 2, 0b01], [30, 0, 2, 0b01], [40, 0, 2, 0b01]]), known([1]), 10);
  const session = (seq: number) => ranked.find((row) => row.seq === seq)!.scores.session;
  expect([session(20), session(10)].map(rounded)).toEqual([0.8, 0.4]);
  // the best passage of an event counts, in whatever order they come
  const mixed = rankPool(
    poolOf([
      [10, 0, 1, 0b11],
      [10, 1, 1, 0b01],
      [20, 0, 2, 0b11],
    ]),
    known([1, 2]),
    10,
  );
  expect(mixed.map(({ scores }) => rounded(scores.session))).toEqual([0.8, 0.8, rounded(0.8 / 3)]);
});

test('an edit attenuates only the score of its passage and not of other passages of the event', () => {
  const pool = poolOf(
    [
      [5, 0, 1, 1],
      [5, 1, 1, 1],
      [6, 1, 2, 1],
    ],
    { weights: [[5, 1, 0.25]] },
  );
  const passages = new Map(
    rankPool(pool, known([2]), 10).map(({ seq, ordinal, scores }) => [`${seq}.${ordinal}`, scores.passage]),
  );
  expect(Object.fromEntries(passages)).toEqual({ '5.0': 1, '5.1': 0.25, '6.1': 1 });
});

test('the weight of a term with a complete pool is computed from the pool', () => {
  const pool = poolOf([
    [1, 0, 1, 0b01],
    [2, 0, 2, 0b10],
    [3, 0, 3, 0b10],
  ]);
  const ranked = rankPool(pool, { ...known([1, 1]), complete: [false, true], visible: 50 }, 10);
  const of = (seq: number) => ranked.find((row) => row.seq === seq)!.scores.passage;
  expect(of(2)).toBe(1);
  expect(of(1)).toBeCloseTo(1 / termWeight(50, 2));
});

test('equal scores are sorted by newest event, then by first passage; an empty pool has no scores', () => {
  const rows: [number, number, number, number][] = [
    [1, 1, 1, 1],
    [2, 0, 1, 1],
    [1, 0, 1, 1],
  ];
  expect(placesOf(rankPool(poolOf(rows), known([1]), 10))).toEqual([
    [2, 0],
    [1, 0],
    [1, 1],
  ]);
  expect(rankPool(poolOf([]), known([1]), 10)).toEqual([]);
  expect(rankPool(poolOf([[1, 0, 1, 0]]), known([1]), 10)).toMatchObject([{ score: 0 }]);
});

const ranked = (...seqs: number[]): Ranked[] =>
  seqs.map((seq, ordinal) => ({ seq, ordinal, score: 1, scores: { passage: 1, around: 0, session: 0, cues: 1, coverage: 1 } }));

test('the best version of a memory and the best passages of an event are kept', () => {
  const all = ranked(7, 5, 6, 5, 4, 7, 7);
  expect(
    placesOf(
      onePerMemory(all, [
        [7, 1],
        [6, 1],
        [4, 2],
      ]),
    ),
  ).toEqual([
    [7, 0],
    [5, 1],
    [5, 3],
    [4, 4],
  ]);
  expect(onePerMemory(all, [])).toBe(all);
  expect(placesOf(limitPerEvent(all, 2))).toEqual([
    [7, 0],
    [5, 1],
    [6, 2],
    [5, 3],
    [4, 4],
    [7, 5],
  ]);
});

test('a short answer by another actor after a question gets part of the score of the question', () => {
  const pool = (actor: number, size: number) =>
    poolOf(
      [
        [10, 0, 1, 0b1],
        [20, 0, 2, 0b1],
      ],
      {
        traits: [1, 0],
        neighbours: [[10, 1, 11, 0, size, actor, 0, 0, []]],
      },
    );
  const answerScore = (actor: number, size: number) =>
    rankPool(pool(actor, size), known([1]), 10).find(({ seq }) => seq === 11)!.scores.around;
  expect(answerScore(1, 5)).toBeCloseTo(0.85);
  expect(answerScore(0, 5)).toBeCloseTo(0.5);
  expect(answerScore(1, 91)).toBeCloseTo(0.5);
});

test('passages of the only actor that the query names score higher, and of two named actors neither', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b1],
      [20, 0, 2, 0b1],
    ],
    { actors: [7, 8] },
  );
  const factors = (name_keys: number[]) =>
    rankPool(pool, known([1]), 10, { name_keys, trait: 0, dates: [] }).map(({ seq, scores }) => [seq, scores.cues]);
  expect(factors([7, 99])).toEqual([
    [10, 1.3],
    [20, 1],
  ]);
  expect(factors([7, 8])).toEqual([
    [20, 1],
    [10, 1],
  ]);
});

test('a passage with the trait that the query asks for, or of the day that it names, scores higher', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b1],
      [20, 0, 2, 0b1],
    ],
    { traits: [2, 4], days: [19_000, 100] },
  );
  const [first, second] = rankPool(pool, known([1]), 10, {
    name_keys: [],
    trait: 2,
    dates: [{ year: 2022, month: 1, day: 8 }],
  });
  expect([first!.seq, first!.scores.cues, second!.scores.cues]).toEqual([10, 1.2 * 1.6, 1]);
});

test('of two passages with the same terms the longer one scores lower from 30 terms on', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b1],
      [20, 0, 2, 0b1],
      [30, 0, 3, 0b1],
    ],
    { sizes: [5, 30, 120] },
  );
  expect(rankPool(pool, known([1]), 10).map(({ seq, scores }) => [seq, rounded(scores.passage)])).toEqual([
    [20, 1],
    [10, 1],
    [30, 0.3077],
  ]);
});

describe('near words', () => {
  // the terms 0 and 1 of weight 2; the word with the key 7 is near the term 0
  const near = { word: 'w', share: 0.5, terms: [[0, 0.5]] as [number, number][] };
  const plan = (more = {}) => ({ ...known([2, 2]), near_terms: [near], ...more });
  const pool = poolOf(
    [
      [10, 0, 1, 0b10],
      [20, 0, 2, 0b10],
      [30, 0, 3, 0b11],
    ],
    { near_keys: [7], near: [[], [7], [7]] },
  );
  const passages = (ranked: Ranked[]) => Object.fromEntries(ranked.map(({ seq, scores }) => [seq, rounded(scores.passage)]));

  test('a word near a missing term adds its cosine times the smaller weight; a passage with the term gets nothing for it', () => {
    // its weight is that of a word in half of 100 passages: ln(1 + 101 / 50.5) ^ 1.25 = 1.12
    const weight = termWeight(100, 50);
    expect(passages(rankPool(pool, plan(), 10))).toEqual({ 10: 0.5, 20: rounded((2 + 0.5 * weight) / 4), 30: 1 });
  });

  test('the weight of a word that selects passages is computed from the pool', () => {
    const ranked = rankPool(pool, plan({ near_full: ['w'] }), 10);
    // in two of 100 passages: rarer than the term, so the weight of the term counts
    expect(passages(ranked)).toEqual({ 10: 0.5, 20: rounded((2 + 0.5 * 2) / 4), 30: 1 });
  });

  test('of several words near a term the best counts, and in a long query each counts less', () => {
    const two = { near_keys: [7, 8], near: [[], [7, 8], []] };
    const terms = [near, { word: 'x', share: 0.001, terms: [[0, 0.9]] as [number, number][] }];
    expect(passages(rankPool({ ...pool, ...two }, plan({ near_terms: terms }), 10))[20]).toBe(rounded((2 + 0.9 * 2) / 4));
    const long = { ...known(Array(8).fill(2)), near_terms: [near] };
    expect(passages(rankPool(pool, long, 10))[20]).toBe(rounded((2 + (4 / 8) * 0.5 * termWeight(100, 50)) / 4));
  });
});
