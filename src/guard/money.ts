// Amounts of the guard are units of the currency; those of the service are integers of micro-units.

const MICROS = 1_000_000;
/** The largest amount that the service accepts, in units. */
const MAX_UNITS = 1e9;

/** Returns the amount in micro-units, rounded to the nearest. Throws RangeError if it is not a number from 0 to a billion. */
export function microsOf(units: number, name: string): number {
  if (!(typeof units === 'number' && units >= 0 && units <= MAX_UNITS))
    throw new RangeError(`${name} must be a number from 0 to ${MAX_UNITS}`);
  return Math.round(units * MICROS);
}

export const unitsOf = (micros: number): number => micros / MICROS;
