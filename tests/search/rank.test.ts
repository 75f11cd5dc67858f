import { termWeight } from '../../src/search/plan.ts';
import { limitPerEvent, onePerMemory, type Pool, type Ranked, rankPool, scoring } from '../../src/search/rank.ts';

const known = (weights: number[]) => ({ weights, complete: weights.map(() => false), visible: 100 });
/** Returns a pool of the passages [seq, ordinal, session, mask]. */
const poolOf = (rows: [number, number, number, number][], more: Partial<Pool> = {}): Pool => ({
  seqs: rows.map(([seq]) => seq),
  ordinals: rows.map(([, ordinal]) => ordinal),
  sessions: rows.map(([, , session]) => session),
  masks: rows.map(([, , , mask]) => mask),
  decisions: [],
  memories: [],
  weights: [],
  neighbours: [],
  ...more,
});
const rounded = (value: number) => Math.round(value * 1e4) / 1e4;
const scoresOf = (ranked: Ranked[]) =>
  ranked.map(({ seq, score, scores }) => [seq, ...[scores.passage, scores.around, scores.session, score].map(rounded)]);
const placesOf = (ranked: Ranked[]) => ranked.map(({ seq, ordinal }) => [seq, ordinal]);

test('a score is the sum of the scores of the passage, its neighbours and its session', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b11],
      [20, 0, 2, 0b01],
    ],
    {
      neighbours: [
        [10, 1, 11, 0b01],
        [10, -1, 9, 0b10],
        [10, 2, 12, 0b01],
        [10, -2, 8, 0b01],
      ],
    },
  );
  // weights 1 and 2: passage 10 scores 3, 9 scores 2, the others 1; the best two of session 10 sum to 5, session 20 has one that scores 1
  expect(scoresOf(rankPool(pool, known([1, 2]), 10))).toEqual([
    [10, 1, 0.4333, 0.8, 2.2333],
    [9, 0.6667, 0.5, 0.8, 1.9667],
    [11, 0.3333, 0.5, 0.6667, 1.5],
    [12, 0.3333, 0.15, 0.3867, 0.87],
    [8, 0.3333, 0.15, 0.3867, 0.87],
    [20, 0.3333, 0, 0.0533, 0.3867],
  ]);
  expect(scoring).toEqual({ passage: 1, next: 0.5, second: 0.15, session: 0.8 });
  expect(rankPool(pool, known([1, 2]), 2).map(({ seq }) => seq)).toEqual([10, 9]);
});

test('a neighbour of two passages is ranked once, with its own mask if it is in the pool', () => {
  const pool = poolOf(
    [
      [10, 0, 1, 0b10],
      [11, 0, 1, 0b01],
    ],
    {
      neighbours: [
        [10, 1, 11, 0b11],
        [10, 2, 12, 0b01],
        [11, 1, 12, 0b01],
      ],
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
    { neighbours: [[10, 1, 11, 0b01]] },
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
  const ranked = rankPool(pool, { weights: [1, 1], complete: [false, true], visible: 50 }, 10);
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
  seqs.map((seq, ordinal) => ({ seq, ordinal, score: 1, scores: { passage: 1, around: 0, session: 0 } }));

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
