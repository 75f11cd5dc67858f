import type { Figures } from './figures.ts';
import { escaped } from './plot.ts';
import { tidy } from './text.ts';

/** Renders every threshold and check as a test case, for CI systems. */
export function junitOf({ suite, seconds, ended_at, thresholds, checks }: Figures): string {
  const cases = [
    ...thresholds.map(({ metric, rule, value, ok, of }) =>
      testCase(`thresholds.${of}`, `${metric}: ${rule}`, ok, `it is ${tidy(value)}`),
    ),
    ...checks.map(({ name, passes, fails }) =>
      testCase('checks', name, fails === 0, `${fails} of ${passes + fails} were not so`),
    ),
  ];
  const failures = cases.filter(({ ok }) => !ok).length;
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
<testsuite name="load.${escaped(suite)}" tests="${cases.length}" failures="${failures}" time="${seconds.toFixed(3)}" timestamp="${ended_at}">
${cases.map(({ xml }) => xml).join('\n')}
</testsuite>
</testsuites>
`;
}

function testCase(classname: string, name: string, ok: boolean, why: string): { ok: boolean; xml: string } {
  const failure = ok ? '' : `<failure message="${escaped(why)}"/>`;
  return { ok, xml: `<testcase classname="${classname}" name="${escaped(name)}">${failure}</testcase>` };
}
