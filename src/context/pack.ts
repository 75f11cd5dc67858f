import type { Steps } from '../slices.ts';
import { createDuplicateDetector } from './near_duplicates.ts';
import { headingOf, renderItem } from './render.ts';
import { type Candidate, sizeCallOnly, sizeItem, surelyExceeds, type UniqueItem } from './size.ts';
import type { CountTokens } from './tokens.ts';

// Selects the items of a context within the token budget. Each section has a share of the budget and releases what it does not use. An item that
// does not fit is skipped, so that smaller ones behind it are still included. Duplicates are left out.

export const sectionNames = [
  'rules',
  'profile',
  'task_state',
  'handoff',
  'decisions',
  'recent_window',
  'retrieved_evidence',
  'capsules',
] as const;
export type SectionName = (typeof sectionNames)[number];

/** The type of an item: the kind of its memory, or `text`. */
export const itemTypes = ['text', 'decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff'] as const;

/** The fields of an item that describe its memory. */
export interface ItemMetadata {
  memory_id?: string;
  scope?: string;
  trust?: 'approved' | 'stated' | 'inferred' | 'observed';
  origin?: { type: string; id: string };
  /** The memory is no longer current; only in a context with `history`. */
  superseded?: true;
  /** The ids of items that state something else about the same thing, or that this item declares to contradict. `between` adds its own id. */
  conflict?: { with: string[]; between: string[] };
}

export interface Item {
  type: (typeof itemTypes)[number];
  text: string;
  /** Ids of the item, then of what it cites. */
  refs: string[];
  /** Ids of the item, the most specific last. Items with a common id are duplicates. */
  ids: string[];
  metadata?: ItemMetadata;
  /** The text without actor and date. Items with the same text are duplicates. */
  comparedText: string;
  /** The stemmed words of the text, for detecting near duplicates. */
  lexemes: string[];
  /** The artifact with the whole text, if the item has an excerpt. */
  artifact_id?: string;
  /** The session of an item of evidence. */
  session?: string;
  /** Set if the item is a tool call or result. */
  toolPart?: { seq: number; ordinal: number; kind: string };
  /** The id by which conflicts refer to the item; by default the first of `ids`. */
  primaryId?: string;
  /** The tool call without its results, used if the results do not fit, and the ids of the results. */
  callOnly?: Item;
  resultIds?: string[];
  /** The structured statement of a claim or preference. */
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

/** Renders a notice (empty for none) and the sections as one string. */
export type Rendering = (notice: string, sections: Section[]) => string;

/** How the sections divide the budget. */
export interface Layout {
  /** Shares of the budget in the first pass. Later passes give the rest to sections in reverse order. */
  shares: Record<SectionName, number>;
  /** The largest shares of sections, over all passes. */
  caps: Partial<Record<SectionName, number>>;
  /** A statement before the first section. */
  notice?: string;
  /** Renders the context in another form than plain text. */
  rendering?: Rendering | undefined;
}

export interface Packed {
  sections: Section[];
  /** The context as one string, and its exact number of tokens. */
  text: string;
  token_used: number;
  omissions: Omission[];
  deduplicated: number;
}

/** Maximum share of the budget for one item; longer items are cut. */
const LARGEST_ITEM = 0.35;
const MAX_CANDIDATE_IDS = 100;

/** Packs candidates, which are best first in each section. `recent_window` is newest first in the candidates and oldest first in the result. */
export function* pack(
  candidates: Record<SectionName, Item[]>,
  budget: number,
  countTokens: CountTokens,
  layout: Layout,
): Steps<Packed> {
  const notice = layout.notice === undefined ? '' : `${layout.notice}\n`;
  const available = budget - (notice === '' ? 0 : yield* countTokens(`${notice}\n`));
  const { fresh, duplicates } = yield* removeDuplicates(candidates);
  const selected = yield* selectItems(fresh, available, countTokens, layout);
  const sections = sectionsOf(selected.values());
  let token_used = yield* countBundle(notice, sections, countTokens);
  while (token_used > budget) {
    dropLast(selected, sections);
    token_used = yield* countBundle(notice, sections, countTokens);
  }
  const rendered =
    layout.rendering && (yield* fitRendering(layout.rendering, layout.notice ?? '', sections, selected, budget, countTokens));
  const omitted = fresh.filter((entry) => !selected.has(entry)).map(({ item }) => item);
  const omissions = omissionsOf(omitted, duplicates, [...selected.values()]);
  return { sections, text: renderBundle(notice, sections), token_used, ...rendered, omissions, deduplicated: duplicates.length };
}

/** Renders the sections, and drops items from the end until the result fits: markup and sources need tokens too. */
function* fitRendering(
  rendering: Rendering,
  notice: string,
  sections: Section[],
  selected: Map<UniqueItem, Candidate>,
  budget: number,
  countTokens: CountTokens,
): Steps<Pick<Packed, 'text' | 'token_used'>> {
  for (;;) {
    const text = rendering(notice, sections);
    const token_used = yield* countTokens(text);
    if (token_used <= budget || sections.length === 0) return { text, token_used };
    const count = sections.reduce((sum, { items }) => sum + items.length, 0);
    // half of the share that is too much: items differ in length
    const drops = Math.max(1, Math.floor((count * (1 - budget / token_used)) / 2));
    for (let i = 0; i < drops; i += 1) dropLast(selected, sections);
  }
}

const renderBundle = (notice: string, sections: Section[]): string =>
  [notice, ...(sections.length > 0 ? [renderSections(sections)] : [])].filter((part) => part !== '').join('\n');

export const renderSections = (sections: Section[]): string =>
  sections.map(({ name, items }) => headingOf(name) + items.map(({ text }) => renderItem(text)).join('')).join('\n');

/**
 * Returns the number of tokens of the rendered context, from the counts of its parts. No token spans the end of a line and a following `#` or
 * `-` (both encodings split there), so only the empty line before a heading has to be recounted, together with the item before it.
 */
function* countBundle(notice: string, sections: Section[], countTokens: CountTokens): Steps<number> {
  let count = notice === '' ? 0 : yield* countTokens(sections.length > 0 ? `${notice}\n` : notice);
  for (const [i, { name, items }] of sections.entries()) {
    count += yield* countTokens(headingOf(name));
    for (const { token_count } of items) count += token_count;
    const last = items.at(-1)!;
    if (i < sections.length - 1) count += (yield* countTokens(`${renderItem(last.text)}\n`)) - last.token_count;
  }
  return count;
}

/** Removes duplicates in the order of the sections. A decision or task is kept even if a passage of its event is present. */
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
  fuzzy: ['retrieved_evidence', 'profile'].includes(section) && ['text', 'fact', 'note', 'summary'].includes(type),
});

/** A form in which items can be shown. `exceeds` returns true if an item certainly does not fit into `left` tokens, which saves counting. */
interface ItemForm {
  exceeds(entry: UniqueItem, left: number): boolean;
  candidateOf(entry: UniqueItem): Steps<Candidate>;
}

/**
 * Fills each section within its share of the budget, then fills the rest of the budget in reverse order of the sections, and finally adds tool
 * calls whose results do not fit.
 */
function* selectItems(
  fresh: UniqueItem[],
  budget: number,
  countTokens: CountTokens,
  { shares, caps }: Layout,
): Steps<Map<UniqueItem, Candidate>> {
  const largest = Math.floor(budget * LARGEST_ITEM);
  const sized = new Map<UniqueItem, Candidate>();
  const selected = new Map<UniqueItem, Candidate>();
  const started = new Set<SectionName>();
  const unused = new Map(sectionNames.map((name) => [name, Math.floor(budget * (caps[name] ?? 1))]));
  let remaining = budget;
  const whole: ItemForm = {
    exceeds: ({ item }, left) => surelyExceeds(item, left, largest),
    *candidateOf(entry) {
      const cached = sized.get(entry) ?? (yield* sizeItem(entry, largest, countTokens));
      sized.set(entry, cached);
      return cached;
    },
  };
  const callOnly: ItemForm = {
    exceeds: ({ item: { callOnly } }, left) => !callOnly || surelyExceeds(callOnly, left, largest),
    candidateOf: (entry) => sizeCallOnly(entry, Math.min(largest, remaining), countTokens),
  };
  const fill = function* (section: SectionName, allowance: number, { exceeds, candidateOf }: ItemForm): Steps<void> {
    let available = Math.min(allowance, remaining, unused.get(section)!);
    for (const entry of fresh) {
      if (entry.section !== section || selected.has(entry)) continue;
      const headingCost = started.has(section) ? 0 : (yield* countTokens(headingOf(section))) + 1;
      yield;
      if (exceeds(entry, available - headingCost)) continue;
      const candidate = yield* candidateOf(entry);
      const cost = candidate.cost + headingCost;
      if (cost > available) continue;
      started.add(section);
      selected.set(entry, candidate);
      available -= cost;
      remaining -= cost;
      unused.set(section, unused.get(section)! - cost);
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

/** Drops the last item of the last section, if the joined text has more tokens than the sum of its parts. */
function dropLast(selected: Map<UniqueItem, Candidate>, sections: Section[]): void {
  const section = sections.at(-1)!;
  const dropped = section.items.pop()!;
  section.token_count -= dropped.token_count;
  if (section.items.length === 0) sections.pop();
  for (const [entry, { item }] of selected) if (item.refs === dropped.refs) selected.delete(entry);
}

function omissionsOf(unselected: Item[], duplicates: Item[], selected: Candidate[]): Omission[] {
  const idsOf = (items: Item[]) => [...new Set(items.flatMap(({ ids }) => ids.slice(-1)))].slice(0, MAX_CANDIDATE_IDS);
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
