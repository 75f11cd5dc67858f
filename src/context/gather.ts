import type { OpenedCapsule } from '../capsules/index.ts';
import { isId } from '../id.ts';
import { isAct, sha256Hex } from '../memories/index.ts';
import type { Found, Hit } from '../search/index.ts';
import type { Steps } from '../slices.ts';
import { together } from './calls.ts';
import { type Claim, findConflicts, statedValue, statementKey } from './conflict.ts';
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
import type { Item, Omission, SectionName } from './pack.ts';
import { inLine } from './render.ts';
import type { Handoff, Ledger, LedgerEvent } from './sql.ts';

/** So many pieces of evidence go with a handoff: it is a packet, not the talk that led to it. */
const HANDOFF_EVIDENCE = 20;
const MAX_OMITTED_NAMED = 100;
const MAX_CONFLICTS_TOLD = 3;

export interface Gathered {
  candidates: Record<SectionName, Item[]>;
  /** What was left out before anything was packed. */
  omissions: Omission[];
}

export interface Sources {
  ledger: Ledger;
  found: Found | undefined;
  handoff: Handoff | undefined;
  capsules: OpenedCapsule[];
  /** More characters of capsules are not looked at. */
  room: number;
  history: boolean;
}

/** What was read, as candidates of the sections, best first. */
export function* gather({ ledger, found, handoff, capsules, room, history }: Sources): Steps<Gathered> {
  const events = (...parts: LedgerEvent['part'][]) => ledger.events.filter((event) => parts.includes(event.part));
  const hits = found?.hits ?? [];
  const replaced = events('superseded');
  const superseded = new Set([...replaced, ...events('decision').filter((event) => event.superseded)].map(idOf));
  const pairs = new Map(ledger.pairs.map((pair) => [pair.seq, pair]));
  const cited = events('cited')
    .filter(isSourced)
    .flatMap((event) => citedItem(event, pairs));
  const claims = hits.filter(isEvidence);
  const sourced = claims.filter(isSourced);
  const all = [...cited, ...sourced.map((hit) => evidenceItem(hit, pairs))];
  const decisions = onePerMemory(events('decision')).filter((event) => history || !event.superseded);
  const said = events('recent').filter((event) => history || !event.superseded);
  const [recent, evidence] = together(
    [said.flatMap((event) => recentItem(event, pairs)), all],
    events('paired').flatMap((event) => pairedItem(event, pairs)),
    pairs,
  ) as [Item[], Item[]];
  const { included, beyond } = within(capsules.flatMap(capsuleItems), room);
  const candidates: Gathered['candidates'] = {
    rules: inOrderOfRules(events('rule')).map(ruleItem),
    task_state: events('task').map(taskItem),
    handoff: handoff ? [handoffItem(handoff)] : [],
    decisions: inOrderOf(hits, withHistory(decisions, replaced, history), handoff).map(decisionItem),
    recent_window: recent,
    retrieved_evidence: handoff ? evidence.slice(0, HANDOFF_EVIDENCE) : evidence,
    capsules: included,
  };
  yield* flagConflicts(candidates);
  const ungrounded = [
    ...[...events('cited'), ...claims].filter((one) => !isSourced(one)).map(({ memory }) => memory!.memory_id),
    ...capsules.flatMap(({ items }) => items.filter(({ unsourced }) => unsourced).map(({ id }) => id)),
  ];
  return {
    candidates,
    omissions: [
      ...omitted('budget', beyond),
      ...omitted('ungrounded', ungrounded),
      ...(history ? [] : omitted('superseded', [...superseded])),
    ],
  };
}

/** Two thousand items of a capsule are not counted where a hundred fill the bundle. */
function within(items: Item[], room: number): { included: Item[]; beyond: string[] } {
  let used = 0;
  let end = 0;
  while (end < items.length && used <= room) used += items[end++]!.text.length;
  return { included: items.slice(0, end), beyond: items.slice(end).flatMap(({ ids }) => ids) };
}

function omitted(reason: Omission['reason'], ids: string[]): Omission[] {
  const named = [...new Set(ids)];
  return named.length > 0 ? [{ reason, count: named.length, candidates: named.slice(0, MAX_OMITTED_NAMED) }] : [];
}

/** What clients know it by: the event that they recorded, or the memory that they made. */
const idOf = ({ kind, event_id, memory }: LedgerEvent) => (memory && kind.startsWith('memory.') ? memory.memory_id : event_id);

/** A claim that rests on nothing is left out where the tenant wants such claims to rest on something. */
const isSourced = ({ memory }: Pick<LedgerEvent, 'memory'>) => !memory?.unsourced;

/** Rules and handoffs are followed or not, and decisions have their section: none of them is evidence. */
const isEvidence = ({ memory }: Hit) => !memory || !['decision', 'rule', 'handoff'].includes(memory.kind);

function onePerMemory(events: LedgerEvent[]): LedgerEvent[] {
  const seen = new Set<string>();
  return events.filter(({ memory, event_id }) => {
    const id = memory?.memory_id ?? event_id;
    return !seen.has(id) && seen.add(id);
  });
}

const withHistory = (decisions: LedgerEvent[], replaced: LedgerEvent[], history: boolean) =>
  history ? onePerMemory([...decisions, ...replaced.filter(({ memory }) => memory?.kind === 'decision')]) : decisions;

const precedence = ['policy', 'project', 'user', 'session', 'global'];
const rank = ({ memory }: LedgerEvent) => precedence.indexOf(memory?.scope ?? 'global');
const newestFirst = (a: LedgerEvent, b: LedgerEvent) => b.seq - a.seq || (a.event_id < b.event_id ? -1 : 1);

/** By the precedence of their scopes, then their priority. */
function inOrderOfRules(rules: LedgerEvent[]): LedgerEvent[] {
  const priority = ({ memory }: LedgerEvent) => Number(memory?.body.priority ?? 0);
  return rules.toSorted((a, b) => rank(a) - rank(b) || priority(b) - priority(a) || newestFirst(a, b));
}

/** Decisions that were found, the best by their own words first; then by the precedence of their scopes, then the newest. A handoff's come first. */
function inOrderOf(hits: Hit[], decisions: LedgerEvent[], handoff: Handoff | undefined): LedgerEvent[] {
  const score = new Map<string, number>();
  for (const { memory, scores } of hits)
    if (memory) score.set(memory.memory_id, Math.max(score.get(memory.memory_id) ?? 0, scores.passage));
  const of = ({ memory }: LedgerEvent) => score.get(memory?.memory_id ?? '') ?? 0;
  const sorted = decisions.toSorted((a, b) => of(b) - of(a) || rank(a) - rank(b) || newestFirst(a, b));
  if (!handoff) return sorted;
  const named = namedBy(handoff);
  const isNamed = ({ event_id, memory, content, kind }: LedgerEvent) =>
    named.ids.includes(event_id) ||
    named.ids.includes(memory?.memory_id ?? '') ||
    named.texts.includes(String(kind.startsWith('memory.') ? content.text : content.decision));
  const own = sorted.filter(isNamed);
  return own.length > 0 || named.texts.length > 0 ? own : sorted;
}

/** What a handoff names: ids of this service among its refs and decisions, and decisions by their text. */
export function namedBy({ content, memory }: Handoff): { ids: string[]; texts: string[] } {
  const { refs = [], decisions = [] } = (content.body ?? {}) as { refs?: string[]; decisions?: string[] };
  const ids = [...memory.refs, ...refs, ...decisions].filter(isId);
  return { ids: [...new Set(ids)], texts: decisions.filter((name) => !ids.includes(name)) };
}

/** Both sides stay and say so: which of them is right is for the reader to find out. The one that holds since later comes first. */
function* flagConflicts(candidates: Gathered['candidates']): Steps<void> {
  const { rules, recent_window, retrieved_evidence, decisions } = candidates;
  const items = [...new Set([...recent_window, ...retrieved_evidence, ...decisions, ...rules.filter(({ claim }) => claim)])];
  const conflicts = yield* findConflicts(items.map((item) => asClaim(item, rules.includes(item))));
  for (const item of items) {
    const id = item.name ?? item.ids[0]!;
    const others = conflicts.get(id);
    if (!others) continue;
    item.about = { ...item.about, conflict: { with: others, between: [id, ...others] } };
    // two that differ in nothing but what they state do not say the same again
    const value = item.claim && statedValue(item.claim.body.value);
    if (value !== undefined) {
      const mark = `0${sha256Hex(value)}`;
      item.said += ` ${mark}`;
      item.words = [...item.words, mark];
    }
    // the model reads the text alone
    item.text += ` [in conflict with ${others.slice(0, MAX_CONFLICTS_TOLD).map(inLine).join(', ')}]`;
  }
  candidates.rules = newestStatedFirst(rules);
  candidates.retrieved_evidence = newestStatedFirst(retrieved_evidence);
}

/** Of a preference only what it states is compared: that it is a rule for someone says nothing of its words. */
const asClaim = ({ name, ids, said, words, type, claim }: Item, isRule: boolean): Claim => ({
  id: name ?? ids[0]!,
  text: isRule ? '' : said,
  words: isRule ? [] : words,
  contradicts: Array.isArray(claim?.body.contradicts) ? claim.body.contradicts : [],
  ids,
  isClaim: type !== 'text' && !isAct(type),
  ...(claim && { measure: claim.body, stands: claim.stands }),
});

/** Items that state something of one subject change places among themselves, so that the newest stands first. */
function newestStatedFirst(items: Item[]): Item[] {
  const places = new Map<string, number[]>();
  for (const [i, { claim }] of items.entries()) {
    const key = claim && statementKey(claim.body, claim.stands);
    if (key !== undefined) places.set(key, [...(places.get(key) ?? []), i]);
  }
  const ordered = [...items];
  for (const at of places.values()) {
    const stated = at.map((i) => items[i]!).sort((a, b) => b.claim!.holds_from - a.claim!.holds_from);
    for (const [n, i] of at.entries()) ordered[i] = stated[n]!;
  }
  return ordered;
}
