import { anomaliesIn, type History, type Operation } from './history.ts';

/** Two clients write versions 1 to 3 one after the other; a third reads meanwhile. The second write is fenced. */
function exampleOf(change: (history: History) => void): string[] {
  const write = (value: number, start: number, more: Partial<Operation> = {}): Operation => ({
    ...{ key: 'k', kind: 'write', value, outcome: 'done', version: value, seq: value + 1, start, end: start + 10 },
    ...more,
  });
  const at = (ms: number) => new Date(ms).toISOString();
  const history: History = {
    operations: [
      write(1, 100, { expects: 'new' }),
      write(2, 120, { expects: 1, fence: { lease: 'l', token: 7 } }),
      write(3, 140, { expects: 2 }),
      { key: 'k', kind: 'read', value: 2, outcome: 'done', version: 2, seq: 3, start: 128, end: 145 },
      { key: 'k', kind: 'write', value: 9, expects: 1, outcome: 'conflict', start: 135, end: 139 },
      { key: 'k', kind: 'write', value: 10, outcome: 'unknown', start: 150, end: Number.POSITIVE_INFINITY },
    ],
    acquisitions: [{ lease: 'l', owner: 'o', token: 7, expires_at: at(500), start: 90, end: 95, released: 200 }],
    log: [
      { seq: 1, kind: 'lease.acquired', key: 'l', owner: 'o', at: at(92) },
      ...[1, 2, 3].map((value) => ({
        seq: value + 1,
        kind: 'state.put',
        key: 'k',
        version: value,
        value,
        at: at(80 + value * 21),
      })),
      { seq: 5, kind: 'lease.released', key: 'l', owner: 'o', at: at(201) },
    ],
  };
  change(history);
  return anomaliesIn(history).map((one) => one.slice(0, one.indexOf(':')));
}

test.each<[string, (history: History) => void, string | null]>([
  ['a linearisable history', () => undefined, null],
  [
    'an unanswered write that took effect',
    ({ log }) => log.push({ seq: 6, kind: 'state.put', key: 'k', version: 4, value: 10, at: '' }),
    null,
  ],
  ['a lost write', ({ log }) => log.splice(3, 1), 'an acknowledged write is not in the log'],
  [
    'a refused write that took effect',
    ({ operations }) => (operations[1]!.outcome = 'conflict'),
    'the answer differs from the log',
  ],
  ['a write that took effect twice', ({ log }) => (log[3]!.value = 2), 'nobody wrote this version, or twice'],
  [
    'a stale read',
    ({ operations }) => Object.assign(operations[3]!, { value: 1, version: 1, start: 132 }),
    'version 2 was observed before',
  ],
  ['a read from the future', ({ operations }) => (operations[3]!.end = 119), 'a version was read before it was written'],
  ['a read of another value', ({ operations }) => (operations[3]!.value = 1), 'the log has another value'],
  ['two successes with one version', ({ operations }) => (operations[2]!.expects = 1), 'the condition did not hold'],
  ['a refusal of the current version', ({ operations }) => (operations[4]!.expects = 2), 'the condition held'],
  ['an absent object that exists', ({ operations }) => (operations[3]!.outcome = 'absent'), 'the object existed'],
  [
    'commits against the time',
    ({ operations, log }) => [operations[1], log[2]].forEach((one) => (one!.seq = 9)),
    'commit 9 was observed before',
  ],
  ['a write after the release', ({ log }) => log.splice(1, 0, ...log.splice(4, 1)), 'a stale fence was accepted'],
  [
    'a write after the expiry',
    ({ acquisitions }) => (acquisitions[0]!.expires_at = '1970-01-01T00:00:00.121Z'),
    'a stale fence was accepted',
  ],
  [
    'a refusal of a held lease',
    ({ operations }) => Object.assign(operations[4]!, { outcome: 'stale', fence: { lease: 'l', token: 7 } }),
    'a current fence was refused',
  ],
  ['a second holder', ({ log }) => log.splice(4, 0, { ...log[0]!, owner: 'p' }), 'the lease is acquired while it is held'],
  [
    'a token that does not grow',
    ({ acquisitions, log }) => {
      acquisitions.push({ ...acquisitions[0]!, owner: 'p' });
      log.push({ ...log[0]!, owner: 'p' });
    },
    'the token does not grow',
  ],
])('the check of a history finds %s', (_, change, expected) => {
  expect(exampleOf(change)).toEqual(expected === null ? [] : expect.arrayContaining([expected]));
});
