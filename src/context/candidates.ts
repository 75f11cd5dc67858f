import type { OpenedCapsule } from '../capsules/index.ts';
import { isId } from '../id.ts';
import { isAct, sha256Hex } from '../memories/index.ts';
import type { Hit, SearchResult } from '../search/index.ts';
import type { Steps } from '../slices.ts';
import { type Claim, comparableValue, findConflicts, subjectKey } from './conflict.ts';
import {
  capsuleItems,
  citedItem,
  decisionItem,
  evidenceItem,
  handoffItem,
  pairedItem,
  recentItem,
  ruleItem,
  taskItem,
} from './items.ts';
import { type Item, type Omission, type SectionName, sectionNames } from './pack.ts';
import { escapeLineEnds } from './render.ts';
import type { ContextEvent, ContextEvents, Handoff, ProfileEvents } from './sql.ts';
import type { Strategy } from './strategies.ts';
import { pairCalls, type ToolPair } from './tool_calls.ts';
import { peopleItems, topicItems } from './topics.ts';

/** Maximum number of evidence items in addition to a handoff: the handoff replaces the conversation that led to it. */
const HANDOFF_EVIDENCE = 20;
const MAX_OMITTED_IDS = 100;
const MAX_CONFLICTS_SHOWN = 3;

export interface CandidateSet {
  candidates: Record<SectionName, Item[]>;
  /** Items left out before packing. */
  omissions: Omission[];
}

export interface Sources {
  contextEvents: ContextEvents;
  search: SearchResult | undefined;
  handoff: Handoff | undefined;
  /** Undefined if the context has no profile. */
  profile: ProfileEvents | undefined;
  /** The subjects on whose behalf the context is built; they are not among the people of a profile. */
  own: string[];
  strategy: Strategy;
  /** The sections to build. */
  kept: readonly SectionName[];
  capsules: OpenedCapsule[];
  /** Maximum number of characters of capsules to consider. */
  maxCapsuleCharacters: number;
  history: boolean;
}

/** Sorts the rows that were read into the candidates of each section, best first. */
export function* collectCandidates(sources: Sources): Steps<CandidateSet> {
  const { contextEvents, search, handoff, profile, capsules, maxCapsuleCharacters, history, strategy } = sources;
  const events = (...parts: ContextEvent['part'][]) => contextEvents.events.filter((event) => parts.includes(event.part));
  const hits = search?.hits ?? [];
  const replaced = events('superseded');
  const superseded = new Set([...replaced, ...events('decision').filter((event) => event.superseded)].map(publicIdOf));
  const pairs = new Map(contextEvents.pairs.map((pair) => [pair.seq, pair]));
  const cited = events('cited')
    .filter(hasRequiredSource)
    .flatMap((event) => citedItem(event, pairs));
  const claims = hits.filter(isEvidence);
  const sourced = claims.filter(hasRequiredSource);
  const all = [...cited, ...sourced.map((hit) => evidenceItem(hit, pairs))];
  const decisions = onePerMemory(events('decision')).filter((event) => history || !event.superseded);
  const recentEvents = events('recent').filter((event) => history || !event.superseded);
  const [recent, evidence] = pairCalls(
    [recentEvents.flatMap((event) => recentItem(event, pairs)), all],
    events('paired').flatMap((event) => pairedItem(event, pairs)),
    pairs,
  ) as [Item[], Item[]];
  const { kept, dropped } = limitCharacters(capsules.flatMap(capsuleItems), maxCapsuleCharacters);
  const candidates: CandidateSet['candidates'] = {
    rules: sortRules(events('rule')).map(ruleItem),
    profile: profile ? profileItems(profile, sources.own, pairs) : [],
    task_state: events('task').map(taskItem),
    handoff: handoff ? [handoffItem(handoff)] : [],
    decisions: sortDecisions(hits, withHistory(decisions, replaced, history), handoff).map(decisionItem),
    recent_window: recent,
    retrieved_evidence: strategy.arrange(handoff ? evidence.slice(0, HANDOFF_EVIDENCE) : evidence),
    capsules: kept,
  };
  for (const name of sectionNames) if (!sources.kept.includes(name)) candidates[name] = [];
  yield* flagConflicts(candidates);
  const ungrounded = [
    ...[...events('cited'), ...claims, ...(profile?.claims ?? [])]
      .filter((one) => !hasRequiredSource(one))
      .map(({ memory }) => memory!.memory_id),
    ...capsules.flatMap(({ items }) => items.filter(({ unsourced }) => unsourced).map(({ id }) => id)),
  ];
  return {
    candidates,
    omissions: [
      ...omissionOf('budget', dropped),
      ...omissionOf('ungrounded', ungrounded),
      ...(history ? [] : omissionOf('superseded', [...superseded])),
    ],
  };
}

/** Returns the claims of a profile, newest first, then its topics and people. */
const profileItems = ({ claims, said }: ProfileEvents, own: string[], pairs: Map<number, ToolPair>): Item[] => [
  ...claims.filter(hasRequiredSource).flatMap((event) => citedItem(event, pairs)),
  ...topicItems(said),
  ...peopleItems(said, own),
];

/**
 * Keeps the first items up to a number of characters, so that the tokens of thousands of capsule items are not counted when a hundred fill the
 * budget.
 */
function limitCharacters(items: Item[], maxCharacters: number): { kept: Item[]; dropped: string[] } {
  let used = 0;
  let end = 0;
  while (end < items.length && used <= maxCharacters) used += items[end++]!.text.length;
  return { kept: items.slice(0, end), dropped: items.slice(end).flatMap(({ ids }) => ids) };
}

function omissionOf(reason: Omission['reason'], ids: string[]): Omission[] {
  const uniqueIds = [...new Set(ids)];
  return uniqueIds.length > 0 ? [{ reason, count: uniqueIds.length, candidates: uniqueIds.slice(0, MAX_OMITTED_IDS) }] : [];
}

/** Returns the id that clients know: of the event that they recorded, or of the memory that they created. */
const publicIdOf = ({ kind, event_id, memory }: ContextEvent) =>
  memory && kind.startsWith('memory.') ? memory.memory_id : event_id;

/** Returns false for a claim without the source that the tenant requires. */
const hasRequiredSource = ({ memory }: Pick<ContextEvent, 'memory'>) => !memory?.unsourced;

/** Excludes rules, handoffs and decisions, which have sections of their own. */
const isEvidence = ({ memory }: Hit) => !memory || !['decision', 'rule', 'handoff'].includes(memory.kind);

function onePerMemory(events: ContextEvent[]): ContextEvent[] {
  const seen = new Set<string>();
  return events.filter(({ memory, event_id }) => {
    const id = memory?.memory_id ?? event_id;
    return !seen.has(id) && seen.add(id);
  });
}

const withHistory = (decisions: ContextEvent[], replaced: ContextEvent[], history: boolean) =>
  history ? onePerMemory([...decisions, ...replaced.filter(({ memory }) => memory?.kind === 'decision')]) : decisions;

const precedence = ['policy', 'project', 'user', 'session', 'global'];
const rank = ({ memory }: ContextEvent) => precedence.indexOf(memory?.scope ?? 'global');
const newestFirst = (a: ContextEvent, b: ContextEvent) => b.seq - a.seq || (a.event_id < b.event_id ? -1 : 1);

/** Sorts by the precedence of the scope, then by priority. */
function sortRules(rules: ContextEvent[]): ContextEvent[] {
  const priority = ({ memory }: ContextEvent) => Number(memory?.body.priority ?? 0);
  return rules.toSorted((a, b) => rank(a) - rank(b) || priority(b) - priority(a) || newestFirst(a, b));
}

/**
 * Sorts by the score of the decision's own text, then by the precedence of the scope, then newest first. With a handoff, keeps only the decisions
 * that it cites.
 */
function sortDecisions(hits: Hit[], decisions: ContextEvent[], handoff: Handoff | undefined): ContextEvent[] {
  const score = new Map<string, number>();
  for (const { memory, scores } of hits)
    if (memory) score.set(memory.memory_id, Math.max(score.get(memory.memory_id) ?? 0, scores.passage));
  const scoreOf = ({ memory }: ContextEvent) => score.get(memory?.memory_id ?? '') ?? 0;
  const sorted = decisions.toSorted((a, b) => scoreOf(b) - scoreOf(a) || rank(a) - rank(b) || newestFirst(a, b));
  if (!handoff) return sorted;
  const cited = citationsOf(handoff);
  const isCited = ({ event_id, memory, content, kind }: ContextEvent) =>
    cited.ids.includes(event_id) ||
    cited.ids.includes(memory?.memory_id ?? '') ||
    cited.texts.includes(String(kind.startsWith('memory.') ? content.text : content.decision));
  const own = sorted.filter(isCited);
  return own.length > 0 || cited.texts.length > 0 ? own : sorted;
}

/** Returns what a handoff cites: ids of this service among its refs and decisions, and decisions by their text. */
export function citationsOf({ content, memory }: Handoff): { ids: string[]; texts: string[] } {
  const { refs = [], decisions = [] } = (content.body ?? {}) as { refs?: string[]; decisions?: string[] };
  const ids = [...memory.refs, ...refs, ...decisions].filter(isId);
  return { ids: [...new Set(ids)], texts: decisions.filter((name) => !ids.includes(name)) };
}

/** Marks both sides of each conflict and keeps them, because the service cannot know which is right. Sorts the one that became valid later first. */
function* flagConflicts(candidates: CandidateSet['candidates']): Steps<void> {
  const { rules, profile, recent_window, retrieved_evidence, decisions } = candidates;
  const items = [
    ...new Set([
      ...profile.filter(({ ids }) => ids.length > 0),
      ...recent_window,
      ...retrieved_evidence,
      ...decisions,
      ...rules.filter(({ claim }) => claim),
    ]),
  ];
  const conflicts = yield* findConflicts(items.map((item) => toClaim(item, rules.includes(item))));
  for (const item of items) {
    const id = item.primaryId ?? item.ids[0]!;
    const others = conflicts.get(id);
    if (!others) continue;
    item.metadata = { ...item.metadata, conflict: { with: others, between: [id, ...others] } };
    // two claims that differ only in their value are not duplicates
    const value = item.claim && comparableValue(item.claim.body.value);
    if (value !== undefined) {
      const mark = `0${sha256Hex(value)}`;
      item.comparedText += ` ${mark}`;
      item.lexemes = [...item.lexemes, mark];
    }
    // the model sees only the text
    item.text += ` [in conflict with ${others.slice(0, MAX_CONFLICTS_SHOWN).map(escapeLineEnds).join(', ')}]`;
  }
  candidates.rules = sortClaimsNewestFirst(rules);
  candidates.retrieved_evidence = sortClaimsNewestFirst(retrieved_evidence);
}

/** For rules and preferences, compares only the structured statement and not the text. */
const toClaim = ({ primaryId, ids, comparedText, lexemes, type, claim }: Item, isRule: boolean): Claim => ({
  id: primaryId ?? ids[0]!,
  text: isRule ? '' : comparedText,
  lexemes: isRule ? [] : lexemes,
  contradicts: Array.isArray(claim?.body.contradicts) ? claim.body.contradicts : [],
  ids,
  isClaim: type !== 'text' && !isAct(type),
  ...(claim && { measure: claim.body, claim_scope: claim.claim_scope }),
});

/** Reorders the claims of each subject among their positions, so that the newest comes first. */
function sortClaimsNewestFirst(items: Item[]): Item[] {
  const positions = new Map<string, number[]>();
  for (const [i, { claim }] of items.entries()) {
    const key = claim && subjectKey(claim.body, claim.claim_scope);
    if (key !== undefined) positions.set(key, [...(positions.get(key) ?? []), i]);
  }
  const ordered = [...items];
  for (const at of positions.values()) {
    const stated = at.map((i) => items[i]!).sort((a, b) => b.claim!.effective_from - a.claim!.effective_from);
    for (const [n, i] of at.entries()) ordered[i] = stated[n]!;
  }
  return ordered;
}
