import { type Difference, differenceOf, meanOf, NOTHING_FOUND, percentile } from './measures.ts';
import type { Result } from './run.ts';

// The figures of a run, as a table of text and for the page.

export interface Row {
  name: string;
  /** Number of questions that have the measure. */
  questions: number;
  /** One per system; undefined if the system has no such figure. */
  values: (number | undefined)[];
  /** The last system minus the one before it. */
  difference: Difference | undefined;
}

export interface Report {
  systems: string[];
  measures: Row[];
  /** R@10 by category of the questions. */
  categories: Row[];
  latencies: { name: string; values: (number | undefined)[] }[];
}

export function reportOf(results: Result[], budgets: number[]): Report {
  const names = ['R@1', 'R@5', 'R@10', 'nDCG@10', 'MRR', ...budgets.map((budget) => `in ${budget} tokens`), NOTHING_FOUND];
  const categories = [...new Set(results[0]!.measured.map(({ question }) => question.category))].sort();
  const inCategory = (category: string) =>
    results.map(({ name, measured }) => ({ name, measured: measured.filter(({ question }) => question.category === category) }));
  return {
    systems: results.map(({ name }) => name),
    measures: names.flatMap((name) => rowOf(name, name, results)),
    categories: categories.flatMap((category) => rowOf(category, 'R@10', inCategory(category))),
    latencies: latenciesOf(results),
  };
}

/** Returns no row if no question has the measure. */
function rowOf(name: string, measure: string, results: Result[]): Row[] {
  const questions = results[0]!.measured.filter(({ values }) => values.has(measure)).length;
  if (questions === 0) return [];
  const [before, after] = results.slice(-2);
  return [
    {
      name,
      questions,
      values: results.map(({ measured }) => meanOf(measured, measure)),
      difference: differenceOf(before!.measured, after!.measured, measure),
    },
  ];
}

function latenciesOf(results: Result[]): Report['latencies'] {
  const search = results.map(({ measured }) => measured.flatMap(({ answer }) => answer.search_ms ?? []));
  const context = results.map(({ measured }) => measured.flatMap(({ answer }) => answer.context_ms ?? []));
  return [
    { name: 'search p50', values: search.map((all) => percentile(all, 0.5)) },
    { name: 'search p95', values: search.map((all) => percentile(all, 0.95)) },
    { name: 'context p50', values: context.map((all) => percentile(all, 0.5)) },
    { name: 'context p95', values: context.map((all) => percentile(all, 0.95)) },
  ];
}

export const percent = (value: number | undefined): string => (value === undefined ? '–' : (100 * value).toFixed(1));
export const milliseconds = (value: number | undefined): string => (value === undefined ? '–' : `${value.toFixed(1)} ms`);

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(1)}`;
/** Returns the difference in points with its 95 % confidence interval. */
export const interval = (difference: Difference | undefined): string =>
  difference ? `${signed(difference.mean)} (${signed(difference.low)} to ${signed(difference.high)})` : '–';

/** Returns the heading of the differences. */
export const differenceTitle = ({ systems }: Report): string => `${systems.at(-1)} − ${systems.at(-2)} (95 % interval)`;

export function tableOf(report: Report): string {
  const { systems, measures, categories, latencies } = report;
  const cells = (rows: Row[]) =>
    rows.map(({ name, questions, values, difference }) => [
      name,
      String(questions),
      ...values.map(percent),
      interval(difference),
    ]);
  const head = (title: string) => [title, 'questions', ...systems, differenceTitle(report)];
  const parts = [
    [head('measure, %'), ...cells(measures)],
    [head('R@10 by category, %'), ...cells(categories)],
    [['latency', '', ...systems], ...latencies.map(({ name, values }) => [name, '', ...values.map(milliseconds)])],
  ];
  return parts.map(alignedText).join('\n\n');
}

function alignedText(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
