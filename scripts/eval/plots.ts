// Plots as inline SVG. Colors are CSS variables of the page, so that they follow its light or dark theme.

export interface Series {
  name: string;
  /** Shares from 0 to 1; undefined: no point. */
  values: (number | undefined)[];
}

const WIDTH = 640;
const HEIGHT = 260;
const LEFT = 44;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 34;

export const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const colorOf = (series: number): string => `var(--series-${series % 4})`;
const y = (share: number): number => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
const round = (value: number): string => String(Math.round(value * 10) / 10);

const text = (x: number, at: number, content: string, anchor = 'middle'): string =>
  `<text x="${round(x)}" y="${round(at)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;

const line = (x1: number, y1: number, x2: number, y2: number, name: string): string =>
  `<line class="${name}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;

const svg = (title: string, height: number, content: string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${round(height)}" role="img" aria-label="${escapeHtml(title)}">${content.join('')}</svg>`;

const percentAxis = (): string[] =>
  [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    line(LEFT, y(share), WIDTH - RIGHT, y(share), 'grid'),
    text(LEFT - 6, y(share) + 4, `${100 * share}`, 'end'),
  ]);

/** Groups of bars, one bar per series, with their values in percent as tooltips. */
export function barsOf(title: string, groups: string[], series: Series[]): string {
  const width = (WIDTH - LEFT - RIGHT) / groups.length;
  const bar = (width * 0.8) / series.length;
  const bars = series.flatMap(({ name, values }, s) =>
    values.map((value = 0, g) => {
      const x = LEFT + g * width + width * 0.1 + s * bar;
      const label = `${name}, ${groups[g]}: ${(100 * value).toFixed(1)} %`;
      const box = `x="${round(x)}" y="${round(y(value))}" width="${round(bar * 0.92)}" height="${round(y(0) - y(value))}"`;
      return `<rect ${box} fill="${colorOf(s)}"><title>${escapeHtml(label)}</title></rect>`;
    }),
  );
  const labels = groups.map((group, g) => text(LEFT + (g + 0.5) * width, HEIGHT - BOTTOM + 18, group));
  return svg(title, HEIGHT, [...percentAxis(), ...bars, ...labels]);
}

/** Lines over labelled steps, such as ranks or budgets. */
export function linesOf(title: string, steps: string[], series: Series[]): string {
  const x = (step: number) => LEFT + 20 + (step * (WIDTH - LEFT - RIGHT - 40)) / Math.max(1, steps.length - 1);
  const paths = series.flatMap(({ name, values }, s) => {
    const points = values.flatMap((value, i) =>
      value === undefined ? [] : [{ at: `${round(x(i))},${round(y(value))}`, i, value }],
    );
    const dots = points.map(({ at, i, value }) => {
      const [cx, cy] = at.split(',');
      const label = `${name}, ${steps[i]}: ${(100 * value).toFixed(1)} %`;
      return `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${colorOf(s)}"><title>${escapeHtml(label)}</title></circle>`;
    });
    return [
      `<polyline points="${points.map(({ at }) => at).join(' ')}" fill="none" stroke="${colorOf(s)}" stroke-width="2"/>`,
      ...dots,
    ];
  });
  const labels = steps.map((step, i) => text(x(i), HEIGHT - BOTTOM + 18, step));
  return svg(title, HEIGHT, [...percentAxis(), ...paths, ...labels]);
}

export interface Span {
  name: string;
  mean: number;
  low: number;
  high: number;
}

/** Means with their intervals, one per line, around zero. */
export function intervalsOf(title: string, spans: Span[]): string {
  const reach = Math.max(0.05, ...spans.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  const left = 150;
  const x = (value: number) => left + ((value + reach) / (2 * reach)) * (WIDTH - left - RIGHT - 30);
  const row = (i: number) => TOP + 14 + i * 24;
  const end = row(spans.length);
  const marks = spans.flatMap(({ name, mean, low, high }, i) => [
    text(left - 10, row(i) + 4, name, 'end'),
    line(x(low), row(i), x(high), row(i), low > 0 || high < 0 ? 'span clear' : 'span'),
    `<circle class="mean" cx="${round(x(mean))}" cy="${row(i)}" r="4"><title>${escapeHtml(`${name}: ${(100 * mean).toFixed(1)} points`)}</title></circle>`,
  ]);
  const axis = [-reach, 0, reach].map((value) => text(x(value), end + 10, `${value > 0 ? '+' : ''}${Math.round(100 * value)}`));
  return svg(title, end + 20, [line(x(0), TOP, x(0), end - 8, 'zero'), ...marks, ...axis]);
}
