import { type Figures, heldUntil, type Row } from './figures.ts';

// Renders the summary that is printed at the end of a run.

const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
export const percent = (part: number, of: number) => `${of ? ((100 * part) / of).toFixed(2) : '0.00'} %`;

export function textOf(figures: Figures, path: string): string {
  const { suite, base_url, seconds, users, all, phases, operations, streams, dropped_turns, passed } = figures;
  const heads = ['', 'requests', 'median', 'p95', 'p99', 'max', 'failed', '429'];
  const line = (row: Row) => [
    row.name,
    String(row.requests),
    ms(row.median),
    ms(row.p95),
    ms(row.p99),
    ms(row.max),
    percent(row.failed, row.requests),
    String(row.rate_limited),
  ];
  const named = phases.map((phase) => ({
    ...phase,
    name: `${phase.name} (${phase.users} users, ${phase.seconds} s)`,
    rate_limited: 0,
  }));
  return [
    `\n${suite}: ${base_url}, up to ${users} users, ${seconds.toFixed(0)} s\n`,
    // a 429 is counted by operation
    tableOf([heads, ...named.map(line).map((cells) => [...cells.slice(0, -1), '']), ...operations.map(line), line(all)]),
    '',
    `streams opened: ${streams.opened}, first byte p95 ${ms(streams.p95)} · turns that could not begin in time: ${dropped_turns}`,
    ...(suite === 'breakpoint' ? [breakpointOf(figures)] : []),
    `answers: ${Object.entries(figures.answers)
      .map(([status, count]) => `${count} × ${status === '0' ? 'none' : status}`)
      .join(', ')}`,
    ...figures.checks.filter(({ fails }) => fails > 0).map(({ name, fails }) => `NOT SO, ${fails} times: ${name}`),
    ...(all.rate_limited
      ? ['The figures are those of a rate limit: raise it (RATE_LIMIT_*, limit_req of the proxy), and run again.']
      : []),
    ...figures.thresholds.map(
      ({ metric, rule, value, ok, of }) =>
        `${ok ? '✓' : '✗'} ${metric}: ${rule} (${tidy(value)}${of === 'guide' ? ', guide' : ''})`,
    ),
    `\n${passed ? 'PASSED' : 'FAILED'}: ${path}.html, .json, .xml\n\n`,
  ].join('\n');
}

export const tidy = (value: number): string => String(Number(value.toPrecision(4)));

export function breakpointOf(figures: Figures): string {
  const { requests_per_second, broke } = heldUntil(figures);
  const rate = `${requests_per_second.toFixed(0)} requests/s`;
  return broke ? `held until it broke: ${rate}` : `held to the end: ${rate}; raise USERS_SCALE to go on`;
}

function tableOf(rows: string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}
