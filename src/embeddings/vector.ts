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

/** Returns the cosine of the angle between two vectors of equal length; 0 if one of them is zero. */
export function cosine(a: Vector, b: Vector): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i]!, b[i]!];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa === 0 || bb === 0 ? 0 : dot / Math.sqrt(aa * bb);
}

/** Returns the signs of the components, as the text of a bit string. */
export const signsOf = (vector: Vector): string => Array.from(vector, (component) => (component > 0 ? '1' : '0')).join('');
