// What kind of answer a passage can hold, as bits that a search compares with the kind of question. The words are English; in other languages
// only questions and digits are recognised.

export const traits = { asks: 1, dated: 2, numbered: 4, names: 8 };

/** A question at the end of a turn, which an answer follows. */
const END_CHARACTERS = 200;

const DATED =
  /\b(?:yesterday|today|tonight|tomorrow|ago|(?:last|next) (?:night|week|month|year|weekend|mon|tue|wed|thu|fri|sat|sun)|this (?:week|month|morning|weekend|past)|(?:jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec)[a-z]*|may \d|20\d\d|19\d\d|(?:mon|tues|wednes|thurs|fri|satur|sun)day|\d+(?:st|nd|rd|th))\b/i;
const NUMBERED = /\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|once|twice|couple|few|several)\b/i;
/** A capitalised word within a sentence. */
const NAMES = /[^.!?\s]\s+[A-Z][a-z]/;

/** Returns the bits of the traits of a passage's text. */
export function traitsOf(text: string): number {
  const end = text.slice(-END_CHARACTERS);
  return (
    (end.includes('?') || end.includes('？') ? traits.asks : 0) |
    (DATED.test(text) ? traits.dated : 0) |
    (NUMBERED.test(text) ? traits.numbered : 0) |
    (NAMES.test(text) ? traits.names : 0)
  );
}
