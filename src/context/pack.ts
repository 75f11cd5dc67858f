import type { Steps } from '../slices.ts';
import { createRepetition } from './near.ts';
import { headingOf, renderItem } from './render.ts';
import { bareOf, type Candidate, exceeds, type Fresh, sizeOf } from './size.ts';
import type { CountTokens } from './tokens.ts';

// What goes into the bundle. Each section has a share of the budget and gives back what it does not use; an item that does not fit
// is skipped, and smaller ones behind it still come in; what was said already is not said again.

export const sectionNames = [
  'rules',
  'task_state',
  'handoff',
  'decisions',
  'recent_window',
  'retrieved_evidence',
  'capsules',
] as const;
export type SectionName = (typeof sectionNames)[number];

/** An item is a memory of a kind, or text. */
export const itemTypes = ['text', 'decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff'] as const;

/** What an item tells of the memory that it is. */
export interface About {
  memory_id?: string;
  scope?: string;
  trust?: 'approved' | 'stated' | 'inferred' | 'observed';
  origin?: { type: string; id: string };
  /** It is not held any more: of a history. */
  superseded?: true;
  /** Something else measures the same otherwise, or is said to be contradicted. `between` names both sides. */
  conflict?: { with: string[]; between: string[] };
}

export interface Item {
  type: (typeof itemTypes)[number];
  text: string;
  /** What it is and what it rests on. */
  refs: string[];
  /** What it is, the narrowest last: an item that is the same thing is a repetition. */
  ids: string[];
  about?: About;
  /** What it says, without who and when: the same said again is a repetition. */
  said: string;
  /** Stemmed words, for finding repetitions in other words. */
  words: string[];
  /** Where the whole of it is, if the text is an excerpt. */
  artifact_id?: string;
  /** The call or result that it is. */
  part?: { seq: number; ordinal: number; kind: string };
  /** By which of its ids others speak of it, if not the first. */
  name?: string;
  /** What stands for it where not all of it fits: a call without its results, whose ids are `beside`. */
  without?: Item;
  beside?: string[];
  /** What it states, if it is a claim or preference. */
  claim?: { body: Record<string, unknown>; stands: string; holds_from: number };
}

interface PackedItem extends About, Pick<Item, 'type' | 'text' | 'refs'> {
  token_count: number;
}

export interface Section {
  name: SectionName;
  token_count: number;
  items: PackedItem[];
}

export interface Omission {
  reason: 'budget' | 'duplicate' | 'truncated' | 'superseded' | 'ungrounded';
  count: number;
  candidates: string[];
  artifact_id?: string;
}

export interface Packed {
  sections: Section[];
  /** The bundle as one string, and how many tokens exactly that is. */
  text: string;
  token_used: number;
  omissions: Omission[];
  deduplicated: number;
}

// The window and the evidence share what the others leave.
const shares: Record<SectionName, number> = {
  rules: 0.1,
  task_state: 0.1,
  handoff: 0.1,
  decisions: 0.15,
  recent_window: 0.15,
  retrieved_evidence: 0.3,
  capsules: 0.1,
};
/** What an item may take of the whole bundle before it is cut. */
const LARGEST_ITEM = 0.35;
const MAX_CANDIDATES_NAMED = 100;

/** Candidates come best first in each section; `recent_window` newest first, and leaves oldest first. */
export function* pack(candidates: Record<SectionName, Item[]>, budget: number, countTokens: CountTokens): Steps<Packed> {
  const { fresh, repeated } = yield* withoutRepetitions(candidates);
  const taken = yield* choose(fresh, budget, countTokens);
  const sections = sectionsOf(taken.values());
  let token_used = yield* countBundle(sections, countTokens);
  while (token_used > budget) {
    dropLast(taken, sections);
    token_used = yield* countBundle(sections, countTokens);
  }
  const left = fresh.filter((entry) => !taken.has(entry)).map(({ item }) => item);
  const omissions = omissionsOf(left, repeated, [...taken.values()]);
  return { sections, text: renderSections(sections), token_used, omissions, deduplicated: repeated.length };
}

export const renderSections = (sections: Section[]): string =>
  sections.map(({ name, items }) => headingOf(name) + items.map(({ text }) => renderItem(text)).join('')).join('\n');

/**
 * The tokens of the rendered bundle, from those of its parts. No token reaches over the end of a line into one that begins with `#` or `-`
 * (both encodings split there), so only the empty line before a heading is counted anew, with the item that it follows.
 */
function* countBundle(sections: Section[], countTokens: CountTokens): Steps<number> {
  let count = 0;
  for (const [i, { name, items }] of sections.entries()) {
    count += yield* countTokens(headingOf(name));
    for (const { token_count } of items) count += token_count;
    const last = items.at(-1)!;
    if (i < sections.length - 1) count += (yield* countTokens(`${renderItem(last.text)}\n`)) - last.token_count;
  }
  return count;
}

/** In the order of the sections, but a decision or task is kept rather than the passage it was found by. */
function* withoutRepetitions(candidates: Record<SectionName, Item[]>): Steps<{ fresh: Fresh[]; repeated: Item[] }> {
  const fresh: Fresh[] = [];
  const repeated: Item[] = [];
  const repeats = createRepetition();
  const known = new Set<string>();
  for (const section of sectionNames)
    for (const [place, item] of candidates[section].entries()) {
      const again = item.ids.some((id) => known.has(id)) || (yield* repeats(worded(section, item)));
      if (again) repeated.push(item);
      else fresh.push({ section, item, place });
      for (const id of item.ids) if (!id.startsWith('evt_') || section !== 'retrieved_evidence') known.add(id);
    }
  return { fresh, repeated };
}

const worded = (section: SectionName, { type, said, words }: Item) => ({
  text: said,
  words,
  loose: section === 'retrieved_evidence' && ['text', 'fact', 'note', 'summary'].includes(type),
});

/** How items may be shown, and which surely do not fit into `left` tokens, so that nobody counts theirs. */
interface Form {
  exceeds(entry: Fresh, left: number): boolean;
  candidateOf(entry: Fresh): Steps<Candidate>;
}

/**
 * First every section within its share, then whatever still fits in the room that was left, the evidence first; last, calls whose results
 * do not fit.
 */
function* choose(fresh: Fresh[], budget: number, countTokens: CountTokens): Steps<Map<Fresh, Candidate>> {
  const largest = Math.floor(budget * LARGEST_ITEM);
  const sized = new Map<Fresh, Candidate>();
  const taken = new Map<Fresh, Candidate>();
  const opened = new Set<SectionName>();
  let room = budget;
  const whole: Form = {
    exceeds: ({ item }, left) => exceeds(item, left, largest),
    *candidateOf(entry) {
      const known = sized.get(entry) ?? (yield* sizeOf(entry, largest, countTokens));
      sized.set(entry, known);
      return known;
    },
  };
  const bare: Form = {
    exceeds: ({ item: { without } }, left) => !without || exceeds(without, left, largest),
    candidateOf: (entry) => bareOf(entry, Math.min(largest, room), countTokens),
  };
  const take = function* (section: SectionName, allowance: number, { exceeds, candidateOf }: Form): Steps<void> {
    let left = Math.min(allowance, room);
    for (const entry of fresh) {
      if (entry.section !== section || taken.has(entry)) continue;
      const opening = opened.has(section) ? 0 : (yield* countTokens(headingOf(section))) + 1;
      yield;
      if (exceeds(entry, left - opening)) continue;
      const candidate = yield* candidateOf(entry);
      const cost = candidate.cost + opening;
      if (cost > left) continue;
      opened.add(section);
      taken.set(entry, candidate);
      left -= cost;
      room -= cost;
    }
  };
  for (const section of sectionNames) yield* take(section, Math.floor(budget * shares[section]), whole);
  for (const section of sectionNames.toReversed()) yield* take(section, room, whole);
  for (const section of sectionNames.toReversed()) yield* take(section, room, bare);
  return taken;
}

function sectionsOf(taken: Iterable<Candidate>): Section[] {
  const all = [...taken];
  return sectionNames.flatMap((name) => {
    const chosen = all.filter(({ section }) => section === name).sort((a, b) => a.place - b.place);
    if (chosen.length === 0) return [];
    if (name === 'recent_window') chosen.reverse();
    const items = chosen.map(({ item: { type, text, refs, about }, cost }) => ({
      type,
      text,
      token_count: cost,
      refs,
      ...about,
    }));
    return [{ name, token_count: items.reduce((sum, { token_count }) => sum + token_count, 0), items }];
  });
}

/** Tokens of joined parts are nearly the sum of the parts' tokens; where they are more, the last of the least section goes. */
function dropLast(taken: Map<Fresh, Candidate>, sections: Section[]): void {
  const section = sections.at(-1)!;
  const dropped = section.items.pop()!;
  section.token_count -= dropped.token_count;
  if (section.items.length === 0) sections.pop();
  for (const [entry, { item }] of taken) if (item.refs === dropped.refs) taken.delete(entry);
}

function omissionsOf(left: Item[], repeated: Item[], taken: Candidate[]): Omission[] {
  const named = (items: Item[]) => [...new Set(items.map(({ ids }) => ids.at(-1)!))].slice(0, MAX_CANDIDATES_NAMED);
  const omissions: Omission[] = [];
  const results = taken.filter(({ bare }) => bare).map(({ item }) => ({ ...item, ids: item.beside! }));
  const unshown = [...left, ...results];
  if (unshown.length > 0) omissions.push({ reason: 'budget', count: unshown.length, candidates: named(unshown) });
  if (repeated.length > 0) omissions.push({ reason: 'duplicate', count: repeated.length, candidates: named(repeated) });
  const cut = taken.filter((candidate) => candidate.cut || candidate.item.artifact_id !== undefined);
  for (const { item } of cut)
    omissions.push({
      reason: 'truncated',
      count: 1,
      candidates: named([item]),
      ...(item.artifact_id !== undefined && { artifact_id: item.artifact_id }),
    });
  return omissions;
}
