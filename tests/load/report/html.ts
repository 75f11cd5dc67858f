import type { Figures, Row, Slot } from './figures.ts';
import { barsOf, escaped, type Line, plotOf } from './plot.ts';
import { breakpointOf, percent, tidy } from './text.ts';

// Renders the report as a single page without scripts, with a content security policy under which a browser loads nothing.

const style = `
:root{color-scheme:light dark;--ink:#1c2330;--faint:#5d6676;--line:#d9dee6;--page:#fff;--shade:#f4f6f9;--a:#2a6fdb;--b:#d98a00;--c:#c2353a;--ok:#1d7a43}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--faint:#9aa3b2;--line:#39414f;--page:#171b22;--shade:#1f252f;--a:#6ea3ff;--b:#f0b040;--c:#ff7b7f;--ok:#5cc98a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}
.passed{color:var(--ok)}.failed{color:var(--c)}.faint{color:var(--faint)}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}
th{color:var(--faint);font-weight:500}figure{margin:1rem 0}figcaption{margin-bottom:.3rem}
svg{width:100%;height:auto;background:var(--page)}svg text{font-size:11px;fill:var(--faint)}svg text.band{font-weight:600}
.grid{stroke:var(--line)}.band0{fill:var(--shade)}.band1{fill:transparent}.line{fill:none;stroke-width:1.8}
.line.a{stroke:var(--a)}.line.b{stroke:var(--b)}.line.c{stroke:var(--c)}.bar.a{fill:var(--a)}.bar.b{fill:var(--b)}.bar.c{fill:var(--c)}
.key{margin-left:1rem;font-size:.85rem}.key.a{color:var(--a)}.key.b{color:var(--b)}.key.c{color:var(--c)}`;

export function htmlOf(figures: Figures): string {
  const { suite, base_url, ended_at, seconds, users, passed, all, streams, dropped_turns } = figures;
  const title = `Load test: ${suite}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body>
<h1>${escaped(title)} <span class="${passed ? 'passed' : 'failed'}">${passed ? 'passed' : 'failed'}</span></h1>
<p class="faint">${escaped(base_url)} · up to ${users} users · ${seconds.toFixed(0)} s · ended ${ended_at}</p>
<p>${all.requests} requests, ${percent(all.failed, all.requests)} failed, ${all.rate_limited} limited (429) · p95 ${all.p95.toFixed(0)} ms, p99 ${all.p99.toFixed(0)} ms
 · ${dropped_turns} turns could not begin in time · ${streams.opened} streams, first byte p95 ${streams.p95.toFixed(0)} ms</p>
${suite === 'breakpoint' ? `<p>${escaped(breakpointOf(figures))}</p>` : ''}
<h2>Over time</h2>${timePlots(figures)}
<h2>By operation</h2>${barsOf('Median, p95 and p99', 'ms', figures.operations.map(barRow))}${rowTable('operation', [...figures.operations, all])}
<h2>By phase</h2>${rowTable(
    'phase',
    figures.phases.map((phase) => ({ ...phase, name: `${phase.name}, ${phase.users} users` })),
  )}
<h2>Thresholds</h2>${tableOf(
    ['', 'rule', 'measured', 'of', ''],
    figures.thresholds.map(({ metric, rule, value, ok, of }) => [metric, rule, tidy(value), of, verdict(ok)]),
  )}
<h2>Checks</h2>${tableOf(
    ['', 'so', 'not so', ''],
    figures.checks.map(({ name, passes, fails }) => [name, String(passes), String(fails), verdict(fails === 0)]),
  )}
<h2>Answers</h2>${tableOf(
    ['status', 'requests'],
    Object.entries(figures.answers).map(([status, count]) => [status === '0' ? 'no answer' : status, String(count)]),
  )}
</body></html>
`;
}

function timePlots(figures: Figures): string {
  const { timeline, phases } = figures;
  const end = timeline.at(-1)!.to;
  const starts = phases.map((_, i) => phases.slice(0, i).reduce((sum, { seconds }) => sum + seconds, 0));
  const bands = phases.map(({ name, seconds }, i) => ({ name, from: starts[i]!, to: starts[i]! + seconds }));
  const used = timeline.filter(({ requests }) => requests > 0);
  const line = (name: string, colour: string, y: (slot: Slot) => number): Line => ({
    name,
    colour,
    points: used.map((slot) => ({ x: (slot.from + slot.to) / 2, y: y(slot) })),
  });
  const perSecond = (count: number, { from, to }: Slot) => count / (to - from);
  const latency = [line('median', 'a', (s) => s.median), line('p95', 'b', (s) => s.p95), line('p99', 'c', (s) => s.p99)];
  const rates = [line('requests', 'a', (s) => perSecond(s.requests, s)), line('failed', 'c', (s) => perSecond(s.failed, s))];
  return (
    plotOf({ title: 'Latency', unit: 'ms', end, lines: latency, bands }) +
    plotOf({ title: 'Throughput', unit: 'requests/s', end, lines: rates, bands })
  );
}

const barRow = ({ name, median, p95, p99 }: Row) => ({
  name,
  values: [
    { colour: 'a', value: median },
    { colour: 'b', value: p95 },
    { colour: 'c', value: p99 },
  ],
});

const verdict = (ok: boolean) => (ok ? '✓' : '✗');

const rowTable = (of: string, rows: Row[]): string =>
  tableOf(
    [of, 'requests', 'median ms', 'p95 ms', 'p99 ms', 'max ms', 'failed'],
    rows.map((row) => [
      row.name,
      String(row.requests),
      ...[row.median, row.p95, row.p99, row.max].map((value) => value.toFixed(1)),
      percent(row.failed, row.requests),
    ]),
  );

function tableOf(heads: string[], rows: string[][]): string {
  const cells = (row: string[], tag: string) => `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="table"><table><thead>${cells(heads, 'th')}</thead><tbody>${rows.map((row) => cells(row, 'td')).join('')}</tbody></table></div>`;
}
