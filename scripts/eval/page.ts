import { meanOf, RANKS } from './measures.ts';
import { barsOf, escapeHtml, intervalsOf, linesOf, type Series } from './plots.ts';
import { differenceTitle, interval, milliseconds, percent, type Report, type Row } from './report.ts';
import type { Result } from './run.ts';

// The figures of a run as one HTML page that needs nothing else: styles and plots are inline, and there are no scripts.

const style = `
:root { color-scheme: light dark; --ink: #1c2430; --quiet: #5b6675; --paper: #ffffff; --line: #d9dee5;
  --series-0: #8a94a3; --series-1: #1f6feb; --series-2: #d9480f; --series-3: #2b8a3e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --quiet: #9aa5b4; --paper: #12161c; --line: #313a46;
  --series-0: #7d8896; --series-1: #6ea8fe; --series-2: #ff922b; --series-3: #69db7c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: var(--quiet); }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--quiet); }
.grid { stroke: var(--line); } .zero { stroke: var(--quiet); } .mean { fill: var(--series-1); }
.span { stroke: var(--quiet); stroke-width: 2; } .clear { stroke: var(--series-1); stroke-width: 3; }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .4rem 0 1rem; border-radius: 2px; } p { color: var(--quiet); }`;

export function pageOf(report: Report, results: Result[], budgets: number[], about: { file: string; made_at: string }): string {
  const { systems, measures, categories, latencies } = report;
  const seriesOf = (names: string[]): Series[] =>
    results.map(({ name, measured }) => ({ name, values: names.map((one) => meanOf(measured, one)) }));
  const bars = measures.filter(({ name }) => !name.startsWith('in '));
  const spans = measures.flatMap(({ name, difference }) => (difference ? [{ name, ...difference }] : []));
  const inTokens = budgets.map((budget) => `in ${budget} tokens`);
  const legend = systems.map((name, i) => `<span style="background: var(--series-${i % 4})"></span>${escapeHtml(name)}`).join('');
  const key = `<div class="key">${legend}</div>`;
  const questions = results[0]!.measured.length;
  const section = (title: string, ...content: string[]) => `<h2>${escapeHtml(title)}</h2>\n${content.join('\n')}`;
  const body = [
    `<h1>Recall of ${escapeHtml(systems.slice(1).join(' and '))}</h1>`,
    `<p>${questions} questions of ${escapeHtml(about.file)}, measured ${escapeHtml(about.made_at)}. All shares are in percent.</p>`,
    section(
      'Measures',
      key,
      barsOf(
        'Measures',
        bars.map(({ name }) => name),
        seriesOf(bars.map(({ name }) => name)),
      ),
    ),
    tableOfRows(report, 'measure', measures),
    section(
      'Evidence among the first hits',
      key,
      linesOf('Evidence among the first hits', RANKS.map(String), seriesOf(RANKS.map((rank) => `R@${rank}`))),
    ),
    section(
      'Evidence within a context of so many tokens',
      key,
      linesOf('Evidence within a context', budgets.map(String), seriesOf(inTokens)),
    ),
    section(
      differenceTitle(report),
      '<p>Points. An interval without zero is highlighted: the difference is unlikely to be chance.</p>',
      intervalsOf('Differences', spans),
    ),
    section('R@10 by category', tableOfRows(report, 'category', categories)),
    section(
      'Latency',
      htmlTable(
        ['', ...systems],
        latencies.map(({ name, values }) => [name, ...values.map(milliseconds)]),
      ),
    ),
  ];
  return `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">
<title>Recall</title>\n<style>${style}</style>\n</head>\n<body>\n${body.join('\n')}\n</body>\n</html>\n`;
}

const tableOfRows = (report: Report, title: string, rows: Row[]): string =>
  htmlTable(
    [title, 'questions', ...report.systems, differenceTitle(report)],
    rows.map(({ name, questions, values, difference }) => [
      name,
      String(questions),
      ...values.map(percent),
      interval(difference),
    ]),
  );

function htmlTable(head: string[], rows: string[][]): string {
  const cells = (tag: string, row: string[]) => `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="wide"><table>\n${[cells('th', head), ...rows.map((row) => cells('td', row))].join('\n')}\n</table></div>`;
}
