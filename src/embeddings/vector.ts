import { EndpointError } from './endpoint.ts';

// Vectors as 8-bit integers: a quarter of the memory, and cosines that differ by less than 0.01.

/** A vector, scaled so that its largest component is 127 or -127. Only its direction has a meaning. */
export type Vector = Int8Array;

/** Converts the vector of an answer. Throws EndpointError if it does not consist of `dimension` finite numbers, or is zero. */
export function vectorOf(numbers: unknown, dimension: number): Vector {
  if (!Array.isArray(numbers)) throw new EndpointError('the answer has no vectors');
  if (numbers.length !== dimension)
    throw new EndpointError(`the vectors have ${numbers.length} components instead of ${dimension} (EMBEDDINGS_DIMENSION)`);
  let largest = 0;
  for (const number of numbers) {
    if (typeof number !== 'number' || !Number.isFinite(number))
      throw new EndpointError('a component of a vector is not a number');
    largest = Math.max(largest, Math.abs(number));
  }
  if (largest === 0) throw new EndpointError('a vector is zero');
  return Int8Array.from(numbers as number[], (number) => Math.round((number / largest) * 127));
}
