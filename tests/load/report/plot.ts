// Plots as inline SVG. Pure.

export const escaped = (text: string): string =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

const WIDTH = 760;
const HEIGHT = 240;
const LEFT = 56;
const BOTTOM = 28;
const TOP = 10;
const TICKS = 4;

export interface Line {
  name: string;
  /** CSS class of the colour. */
  colour: string;
  points: { x: number; y: number }[];
}

export interface Plot {
  title: string;
  unit: string;
  /** End of the x axis, in seconds. */
  end: number;
  lines: Line[];
  /** Parts of the run, labelled above the lines. */
  bands: { name: string; from: number; to: number }[];
}

/** Returns the next round number that is not less. */
function ceiling(value: number): number {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((round) => round >= value)!;
}

const short = (value: number) => String(Number(value.toPrecision(3)));

export function plotOf({ title, unit, end, lines, bands }: Plot): string {
  const top = ceiling(Math.max(0, ...lines.flatMap(({ points }) => points.map(({ y }) => y))));
  const x = (value: number) => LEFT + (value / end) * (WIDTH - LEFT - 10);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const at = (value: number) => value.toFixed(1);
  const shades = bands.map(
    ({ name, from, to }, i) =>
      `<rect class="band${i % 2}" x="${at(x(from))}" y="${TOP}" width="${at(x(to) - x(from))}" height="${HEIGHT - BOTTOM - TOP}"/>` +
      `<text class="band" x="${at(x(from) + 6)}" y="${TOP + 14}">${escaped(name)}</text>`,
  );
  const grid = Array.from({ length: TICKS + 1 }, (_, i) => {
    const [height, time] = [(top / TICKS) * i, (end / TICKS) * i];
    return (
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - 10}" y1="${at(y(height))}" y2="${at(y(height))}"/>` +
      `<text x="${LEFT - 6}" y="${at(y(height) + 4)}" text-anchor="end">${short(height)}</text>` +
      `<text x="${at(x(time))}" y="${HEIGHT - 8}" text-anchor="middle">${short(time)} s</text>`
    );
  });
  const drawn = lines.map(
    ({ name, colour, points }) =>
      `<polyline class="line ${colour}" points="${points.map((point) => `${at(x(point.x))},${at(y(point.y))}`).join(' ')}"><title>${escaped(name)}</title></polyline>`,
  );
  const legend = lines.map(({ name, colour }) => `<span class="key ${colour}">${escaped(name)}</span>`).join('');
  return `<figure><figcaption>${escaped(title)}, ${escaped(unit)} ${legend}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${[...shades, ...grid, ...drawn].join('')}</svg></figure>`;
}

/** Draws horizontal bars, a row per name. Within a row, shorter values are drawn over longer ones. */
export function barsOf(
  title: string,
  unit: string,
  rows: { name: string; values: { colour: string; value: number }[] }[],
): string {
  const top = ceiling(Math.max(0, ...rows.flatMap(({ values }) => values.map(({ value }) => value))));
  const x = (value: number) => 110 + (value / top) * (WIDTH - 190);
  const drawn = rows.map(({ name, values }, i) => {
    const y = i * 26 + 6;
    const bars = [...values].sort((a, b) => b.value - a.value);
    const rects = bars.map(
      ({ colour, value }) =>
        `<rect class="bar ${colour}" x="110" y="${y}" width="${(x(value) - 110).toFixed(1)}" height="18"><title>${short(value)}</title></rect>`,
    );
    const most = bars[0]?.value ?? 0;
    return `<text x="102" y="${y + 13}" text-anchor="end">${escaped(name)}</text>${rects.join('')}<text x="${(x(most) + 6).toFixed(1)}" y="${y + 13}">${short(most)}</text>`;
  });
  return `<figure><figcaption>${escaped(title)}, ${escaped(unit)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${rows.length * 26 + 10}" role="img" aria-label="${escaped(title)}">${drawn.join('')}</svg></figure>`;
}
