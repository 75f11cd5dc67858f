import type { Steps } from '../slices.ts';
import { createDuplicateDetector } from './near_duplicates.ts';
import { headingOf, renderItem } from './render.ts';
import { type Candidate, sizeCallOnly, sizeItem, surelyExceeds, type UniqueItem } from './size.ts';
import type { CountTokens } from './tokens.ts';

// What goes into the bundle. Each section has a share of the budget and releases the part that it does not use; an item that does not fit
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
export interface ItemMetadata {
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
  metadata?: ItemMetadata;
  /** What it says, without who and when: the same said again is a repetition. */
  comparedText: string;
  /** Stemmed words, for finding repetitions in other words. */
  lexemes: string[];
  /** Where the whole of it is, if the text is an excerpt. */
  artifact_id?: string;
  /** The call or result that it is. */
  toolPart?: { seq: number; ordinal: number; kind: string };
  /** By which of its ids others speak of it, if not the first. */
  primaryId?: string;
  /** What stands for it where not all of it fits: a call without its results, whose ids are `beside`. */
  callOnly?: Item;
  resultIds?: string[];
  /** What it states, if it is a claim or preference. */
  claim?: { body: Record<string, unknown>; claim_scope: string; effective_from: number };
}

interface PackedItem extends ItemMetadata, Pick<Item, 'type' | 'text' | 'refs'> {
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
const MAX_CANDIDATE_IDS = 100;

/** Candidates come best first in each section; `recent_window` newest first, and leaves oldest first. */
export function* pack(candidates: Record<SectionName, Item[]>, budget: number, countTokens: CountTokens): Steps<Packed> {
  const { fresh, duplicates } = yield* removeDuplicates(candidates);
  const selected = yield* selectItems(fresh, budget, countTokens);
  const sections = sectionsOf(selected.values());
  let token_used = yield* countBundle(sections, countTokens);
  while (token_used > budget) {
    dropLast(selected, sections);
    token_used = yield* countBundle(sections, countTokens);
  }
  const omitted = fresh.filter((entry) => !selected.has(entry)).map(({ item }) => item);
  const omissions = omissionsOf(omitted, duplicates, [...selected.values()]);
  return { sections, text: renderSections(sections), token_used, omissions, deduplicated: duplicates.length };
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
function* removeDuplicates(candidates: Record<SectionName, Item[]>): Steps<{ fresh: UniqueItem[]; duplicates: Item[] }> {
  const fresh: UniqueItem[] = [];
  const duplicates: Item[] = [];
  const isDuplicate = createDuplicateDetector();
  const seenIds = new Set<string>();
  for (const section of sectionNames)
    for (const [position, item] of candidates[section].entries()) {
      const duplicate = item.ids.some((id) => seenIds.has(id)) || (yield* isDuplicate(comparable(section, item)));
      if (duplicate) duplicates.push(item);
      else fresh.push({ section, item, position });
      for (const id of item.ids) if (!id.startsWith('evt_') || section !== 'retrieved_evidence') seenIds.add(id);
    }
  return { fresh, duplicates };
}

const comparable = (section: SectionName, { type, comparedText, lexemes }: Item) => ({
  text: comparedText,
  lexemes,
  fuzzy: section === 'retrieved_evidence' && ['text', 'fact', 'note', 'summary'].includes(type),
});

/** How items may be shown, and which surely do not fit into `left` tokens, so that nobody counts theirs. */
interface ItemForm {
  exceeds(entry: UniqueItem, left: number): boolean;
  candidateOf(entry: UniqueItem): Steps<Candidate>;
}

/**
 * First every section within its share, then whatever still fits in the room that was left, the evidence first; last, calls whose results
 * do not fit.
 */
function* selectItems(fresh: UniqueItem[], budget: number, countTokens: CountTokens): Steps<Map<UniqueItem, Candidate>> {
  const largest = Math.floor(budget * LARGEST_ITEM);
  const sized = new Map<UniqueItem, Candidate>();
  const selected = new Map<UniqueItem, Candidate>();
  const started = new Set<SectionName>();
  let remaining = budget;
  const whole: ItemForm = {
    exceeds: ({ item }, left) => surelyExceeds(item, left, largest),
    *candidateOf(entry) {
      const known = sized.get(entry) ?? (yield* sizeItem(entry, largest, countTokens));
      sized.set(entry, known);
      return known;
    },
  };
  const callOnly: ItemForm = {
    exceeds: ({ item: { callOnly } }, left) => !callOnly || surelyExceeds(callOnly, left, largest),
    candidateOf: (entry) => sizeCallOnly(entry, Math.min(largest, remaining), countTokens),
  };
  const fill = function* (section: SectionName, allowance: number, { exceeds, candidateOf }: ItemForm): Steps<void> {
    let left = Math.min(allowance, remaining);
    for (const entry of fresh) {
      if (entry.section !== section || selected.has(entry)) continue;
      const headingCost = started.has(section) ? 0 : (yield* countTokens(headingOf(section))) + 1;
      yield;
      if (exceeds(entry, left - headingCost)) continue;
      const candidate = yield* candidateOf(entry);
      const cost = candidate.cost + headingCost;
      if (cost > left) continue;
      started.add(section);
      selected.set(entry, candidate);
      left -= cost;
      remaining -= cost;
    }
  };
  for (const section of sectionNames) yield* fill(section, Math.floor(budget * shares[section]), whole);
  for (const section of sectionNames.toReversed()) yield* fill(section, remaining, whole);
  for (const section of sectionNames.toReversed()) yield* fill(section, remaining, callOnly);
  return selected;
}

function sectionsOf(selected: Iterable<Candidate>): Section[] {
  const all = [...selected];
  return sectionNames.flatMap((name) => {
    const chosen = all.filter(({ section }) => section === name).sort((a, b) => a.position - b.position);
    if (chosen.length === 0) return [];
    if (name === 'recent_window') chosen.reverse();
    const items = chosen.map(({ item: { type, text, refs, metadata }, cost }) => ({
      type,
      text,
      token_count: cost,
      refs,
      ...metadata,
    }));
    return [{ name, token_count: items.reduce((sum, { token_count }) => sum + token_count, 0), items }];
  });
}

/** Tokens of joined parts are nearly the sum of the parts' tokens; where they are more, the last of the least section goes. */
function dropLast(selected: Map<UniqueItem, Candidate>, sections: Section[]): void {
  const section = sections.at(-1)!;
  const dropped = section.items.pop()!;
  section.token_count -= dropped.token_count;
  if (section.items.length === 0) sections.pop();
  for (const [entry, { item }] of selected) if (item.refs === dropped.refs) selected.delete(entry);
}

function omissionsOf(unselected: Item[], duplicates: Item[], selected: Candidate[]): Omission[] {
  const idsOf = (items: Item[]) => [...new Set(items.map(({ ids }) => ids.at(-1)!))].slice(0, MAX_CANDIDATE_IDS);
  const omissions: Omission[] = [];
  const results = selected.filter(({ callOnly }) => callOnly).map(({ item }) => ({ ...item, ids: item.resultIds! }));
  const unshown = [...unselected, ...results];
  if (unshown.length > 0) omissions.push({ reason: 'budget', count: unshown.length, candidates: idsOf(unshown) });
  if (duplicates.length > 0) omissions.push({ reason: 'duplicate', count: duplicates.length, candidates: idsOf(duplicates) });
  const cut = selected.filter((candidate) => candidate.cut || candidate.item.artifact_id !== undefined);
  for (const { item } of cut)
    omissions.push({
      reason: 'truncated',
      count: 1,
      candidates: idsOf([item]),
      ...(item.artifact_id !== undefined && { artifact_id: item.artifact_id }),
    });
  return omissions;
}
