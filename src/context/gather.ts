import { chunkId, type Found, type Hit, textOf } from '../search/index.ts';
import type { Item, SectionName } from './pack.ts';
import { renderDecision, renderPassage, renderTask } from './render.ts';
import type { Ledger, LedgerEvent } from './sql.ts';

/** An event in the recent window is cut here: the window is for following the talk, not for reading outputs. */
const RECENT_CHARACTERS = 4_000;

export interface Gathered {
  candidates: Record<SectionName, Item[]>;
  /** Found or newest decisions that a newer one replaces. */
  superseded: string[];
}

/** What was read, as candidates of the sections, best first. */
export function gather(ledger: Ledger, found: Found | undefined): Gathered {
  const events = (part: LedgerEvent['part']) => ledger.events.filter((event) => event.part === part);
  const decisions = events('decision');
  const superseded = new Set(decisions.filter((event) => event.superseded).map(({ event_id }) => event_id));
  const hits = found?.hits ?? [];
  const evidence = hits.filter((hit) => hit.kind !== 'decision');
  return {
    candidates: {
      rules: [],
      task_state: events('task').map(taskItem),
      handoff: [],
      decisions: inOrderOf(
        hits,
        decisions.filter((event) => !event.superseded),
      ).map(decisionItem),
      recent_window: events('recent')
        .filter((event) => !superseded.has(event.event_id))
        .flatMap(recentItem),
      retrieved_evidence: evidence.map(evidenceItem),
    },
    superseded: [...superseded],
  };
}

/** Decisions that were found, the best by their own words first; then the newest. */
function inOrderOf(hits: Hit[], decisions: LedgerEvent[]): LedgerEvent[] {
  const score = new Map<string, number>();
  for (const hit of hits) score.set(hit.event_id, Math.max(score.get(hit.event_id) ?? 0, hit.scores.passage));
  const of = (event: LedgerEvent) => score.get(event.event_id) ?? 0;
  return decisions.toSorted((a, b) => of(b) - of(a) || b.seq - a.seq);
}

const taskItem = (event: LedgerEvent): Item => ({
  type: 'task',
  text: renderTask(event.content),
  refs: [event.event_id],
  // Tasks are told apart by their ids, however alike they read.
  said: event.event_id,
  words: [],
});

const decisionItem = (event: LedgerEvent): Item => ({
  type: 'decision',
  text: `${event.occurred_at.slice(0, 10)}: ${renderDecision(event.content)}`,
  refs: [event.event_id],
  said: renderDecision(event.content),
  words: event.words ?? [],
});

function recentItem(event: LedgerEvent): Item[] {
  const text = textOf(event.kind, event.content);
  if (!/\S/u.test(text)) return [];
  const head = text.length > RECENT_CHARACTERS ? `${text.slice(0, RECENT_CHARACTERS).toWellFormed()} […]` : text;
  return [
    {
      type: event.kind === 'decision' ? 'decision' : 'text',
      text: renderPassage({ ...event, text: head }),
      refs: [event.event_id],
      // "yes" of two people is two answers
      said: (event.words ?? []).length < 4 ? `${event.actor_id} ${text}` : text,
      words: event.words ?? [],
      ...(event.artifact_id !== null && { artifact_id: event.artifact_id }),
    },
  ];
}

const evidenceItem = (hit: Hit): Item => ({
  type: hit.kind === 'decision' ? 'decision' : 'text',
  text: renderPassage({ ...hit, text: hit.text.trim() }),
  refs: [hit.event_id, chunkId(hit.event_id, hit.ordinal)],
  said: hit.text,
  words: hit.words,
  ...(hit.artifact_id !== null && { artifact_id: hit.artifact_id }),
});
