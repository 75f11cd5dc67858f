import { type Item, type SectionName, sectionNames } from '../../src/context/pack.ts';
import type { CountTokens } from '../../src/context/tokens.ts';

// Items for tests of the pure functions, and an encoding with one token per character, so that budgets are easy to calculate.

let made = 0;

export function itemOf(text: string, more: Partial<Item> = {}): Item {
  made += 1;
  const refs = [`evt_${made}`, `chk_${made}_0`];
  return { type: 'text', text, comparedText: text, refs, ids: refs, lexemes: [], ...more };
}

export const empty = (): Record<SectionName, Item[]> => Object.fromEntries(sectionNames.map((name) => [name, []])) as never;

// biome-ignore lint/correctness/useYield: it never needs to pause
export const byCharacter: CountTokens = function* (text) {
  return text.length;
};
