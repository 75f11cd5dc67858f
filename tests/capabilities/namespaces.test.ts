import { coverageOf, pattern, patterns } from '../../src/capabilities/namespaces.ts';

test.each([
  [
    'agent://demo',
    ['agent://demo', 'agent://demo/x', 'agent://demo/x/y', 'agent://demo/'],
    ['agent://demos', 'agent://', 'agent://dem', 'x/agent://demo', '', 'AGENT://demo'],
  ],
  ['agent://*', ['agent://demo'], ['agent://', 'agent://demo/x', 'agent:']],
  [
    'agent://*/tasks',
    ['agent://a/tasks', 'agent://a/tasks/1'],
    ['agent://tasks', 'agent:///tasks', 'agent://a/b/tasks', 'agent://a/task'],
  ],
  ['agent://**', ['agent://', 'agent://a', 'agent://a/b/c'], ['agents://a', 'agent:']],
  ['a/**/z', ['a/z', 'a/b/z', 'a/b/c/z'], ['a', 'z', 'a/z/b', 'a/b', 'b/a/z']],
  ['a/**/a', ['a/a', 'a/x/a'], ['a']],
  ['a/**', ['a', 'a/b', 'a/b/c'], ['ab', 'b/a']],
  ['**/z', ['z', 'a/z', 'a/b/z'], ['z/a', 'az']],
  ['*', ['a', 'agent:'], ['a/b', '']],
  ['**', ['a', 'a/b', '', '*'], []],
  ['a/*/**', ['a/b', 'a/b/c'], ['a', 'a/', 'a//c']],
  ['..', ['..', '../a'], ['.', 'a']],
])('%s covers itself and what it stands for, and nothing else', (given, covered, others) => {
  expect(pattern.safeParse(given).success).toBe(true);
  const covers = coverageOf(given);
  expect(covered.filter((name) => !covers(name))).toEqual([]);
  expect(others.filter((name) => covers(name))).toEqual([]);
});

test('a list covers what one of its patterns covers', () => {
  const covers = coverageOf(['a', 'b/*']);
  expect(['a/x', 'b/x', 'b', 'c'].map(covers)).toEqual([true, true, false, false]);
});

test('a list has 1 to 16 patterns', () => {
  const accepted = [0, 1, 16, 17].map((length) => patterns.safeParse(Array.from({ length }, (_, i) => `n${i}`)).success);
  expect(accepted).toEqual([false, true, true, false]);
});

test('only ** covers all names', () => {
  const all = ['**', ['a', '**'], 'a/**', '*', '**/a', ['a', 'b']].map((given) => coverageOf(given)(undefined));
  expect(all).toEqual([true, true, false, false, false, false]);
});

test.each(['', 'a/', 'a*', 'a/b*/c', '***', '**/a/**', 'x'.repeat(256), 'a\u0000', 'a\nb'])(
  'the pattern %j is rejected',
  (given) => {
    expect(pattern.safeParse(given).success).toBe(false);
  },
);

test('a name that contains a * is covered by wildcards and by nothing else', () => {
  expect(['*', '**', 'a'].map((given) => coverageOf(given)('a*'))).toEqual([true, true, false]);
});
