import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// Words of similar meaning, from a table that scripts/near_words makes offline: `boss` is near `supervisor`. Words are English stems, as
// PostgreSQL's configuration `english` returns them.

export interface NearWord {
  word: string;
  /** Cosine of the vectors of the two words, from 0.3 to 1. */
  cosine: number;
  /** Position in the order of frequency in general English, from 1. */
  rank: number;
}

/**
 * The layout of near_words.bin, little-endian: the number n of words (uint32), the length in bytes of their list (uint32), the list (UTF-8, separated by
 * line feeds), n ranks (uint16), n + 1 offsets of the entries of each word (uint32), the words of the entries (uint16), their cosines × 255 (uint8).
 */
function readTable(file: string) {
  const bytes = readFileSync(file);
  const count = bytes.readUInt32LE(0);
  const textEnd = 8 + bytes.readUInt32LE(4);
  const words = bytes.toString('utf8', 8, textEnd).split('\n');
  const offsets = textEnd + 2 * count;
  const entries = offsets + 4 * (count + 1);
  const cosines = entries + 2 * bytes.readUInt32LE(entries - 4);
  const numbers = new Map(words.map((word, i) => [word, i]));
  return (word: string): NearWord[] => {
    const number = numbers.get(word);
    if (number === undefined) return [];
    const [from, to] = [bytes.readUInt32LE(offsets + 4 * number), bytes.readUInt32LE(offsets + 4 * number + 4)];
    return Array.from({ length: to - from }, (_, i) => {
      const near = bytes.readUInt16LE(entries + 2 * (from + i));
      return {
        word: words[near]!,
        cosine: bytes[cosines + from + i]! / 255,
        rank: bytes.readUInt16LE(textEnd + 2 * near),
      };
    });
  };
}

let table: ReturnType<typeof readTable> | undefined;

/** Returns up to 40 words of similar meaning, nearest first; none for a word that is not in the table. */
export function nearWords(word: string): NearWord[] {
  table ??= readTable(join(import.meta.dirname, 'near_words.bin'));
  return table(word);
}
