import type { Figure } from './report.ts';

// Alternating rounds, so that other load on the machine affects all contestants equally. A ratio is the median of the ratios of each round.

export interface Contestant {
  name: string;
  /** Works for about this many seconds, and returns its rate per second. */
  run(seconds: number): Promise<number>;
}

/** The rates of each contestant, by round. */
export type Rates = Record<string, number[]>;

/** Runs the contestants in rounds, and reverses their order in every other round. */
export async function alternate(contestants: Contestant[], rounds: number, seconds: number): Promise<Rates> {
  for (const contestant of contestants) await contestant.run(Math.min(1, seconds));
  const rates: Rates = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const { name, run } of order) rates[name]!.push(await run(seconds));
    process.stderr.write(
      `  round ${round + 1}: ${contestants.map(({ name }) => `${name} ${Math.round(rates[name]!.at(-1)!)}`).join(', ')}\n`,
    );
  }
  return rates;
}

function ratio(rates: Rates, ours: string, theirs: string): number {
  return median(rates[ours]!.map((rate, i) => rate / rates[theirs]![i]!));
}

export const median = (values: number[]): number => quantile(values, 0.5);

export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Returns the row of the table for the ratio of two contestants. */
export const ratioFigure = (
  rates: Rates,
  part: string,
  name: string,
  ours: string,
  theirs: string,
  goal?: Figure['goal'],
): Figure => ({
  part,
  name,
  value: ratio(rates, ours, theirs),
  unit: '',
  ...(goal && { goal }),
  note: `${median(rates[ours]!).toFixed(0)}/s ÷ ${median(rates[theirs]!).toFixed(0)}/s`,
});
