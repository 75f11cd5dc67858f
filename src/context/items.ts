import type { OpenedCapsule } from '../capsules/index.ts';
import { chunkId, textOf } from '../passages/index.ts';
import type { Hit, MemoryDetails } from '../search/index.ts';
import type { Pair } from './calls.ts';
import { type About, type Item, itemTypes } from './pack.ts';
import { inLine, renderDecision, renderHandoff, renderPassage, renderTask, unfolded } from './render.ts';
import type { Handoff, LedgerEvent } from './sql.ts';

// What was read, as items: each with what it is, what it rests on, and how it reads.

/** An event in the recent window is cut here: the window is for following the talk, not for reading outputs. */
const RECENT_CHARACTERS = 4_000;

/** The memory, the event that holds its content, and what that rests on. */
const refsOf = (event_id: string, memory: MemoryDetails | null, chunk?: string): string[] => [
  ...new Set([...(memory ? [memory.memory_id] : []), event_id, ...(chunk ? [chunk] : []), ...(memory?.refs ?? [])]),
];

const aboutOf = (memory: MemoryDetails | null, superseded: boolean): About => ({
  ...(memory && { memory_id: memory.memory_id, scope: memory.scope, trust: memory.trust, origin: memory.origin }),
  ...(superseded && { superseded: true as const }),
});

/** What claims of one subject are compared by; what is not held any more contradicts nothing. */
const claimOf = (memory: MemoryDetails | null, superseded: boolean): Pick<Item, 'claim'> =>
  memory?.stands === undefined || superseded
    ? {}
    : { claim: { body: memory.body, stands: memory.stands, holds_from: memory.holds_from! } };

/** When it was said; a memory may be recorded long after. */
const saidAt = (memory: MemoryDetails | null, occurred_at: string): string =>
  memory?.said_at === undefined ? occurred_at : new Date(memory.said_at).toISOString();

const partOf = (seq: number, ordinal: number, kind: string): Pick<Item, 'part'> =>
  kind === 'tool_call' || kind === 'tool_result' ? { part: { seq, ordinal, kind } } : {};

export type Pairs = Map<number, Pair>;

const marked = (text: string, superseded: boolean) => (superseded ? `(superseded) ${text}` : text);

export const taskItem = ({ event_id, kind, content, memory }: LedgerEvent): Item => ({
  type: 'task',
  text: renderTask(unfolded(kind, content)),
  refs: refsOf(event_id, memory),
  ids: [...(memory ? [memory.memory_id] : []), event_id],
  about: aboutOf(memory, false),
  // Tasks are told apart by their ids, however alike they read.
  said: event_id,
  words: [],
});

export function decisionItem({ event_id, kind, content, occurred_at, words, superseded, memory }: LedgerEvent): Item {
  const said = renderDecision(unfolded(kind, content));
  return {
    type: 'decision',
    text: marked(`${occurred_at.slice(0, 10)}: ${said}`, superseded),
    refs: refsOf(event_id, memory),
    ids: [...(memory ? [memory.memory_id] : []), event_id],
    about: aboutOf(memory, superseded),
    said: marked(said, superseded),
    words: words ?? [],
  };
}

export function ruleItem({ event_id, content, words, memory }: LedgerEvent): Item {
  const { kind, scope, memory_id } = memory!;
  return {
    type: kind as 'rule' | 'preference',
    text: `[${scope}] ${String(content.text ?? '')}`,
    refs: refsOf(event_id, memory),
    ids: [memory_id, event_id],
    about: aboutOf(memory, false),
    // the same words for another scope are another rule
    said: `${scope} ${String(content.text ?? '')}`,
    words: words ?? [],
    ...claimOf(memory, false),
  };
}

export function handoffItem({ event_id, content, occurred_at, memory }: Handoff): Item {
  const text = `${occurred_at.slice(0, 10)} ${renderHandoff(unfolded('memory.created', content), memory.origin.id)}`;
  const { refs } = (content.body ?? {}) as { refs?: unknown };
  const named = (Array.isArray(refs) ? refs : []).filter((ref) => typeof ref === 'string').slice(0, 256);
  return {
    type: 'handoff',
    text,
    refs: [...new Set([...refsOf(event_id, memory), ...named])],
    ids: [memory.memory_id, event_id],
    about: aboutOf(memory, false),
    said: text,
    words: [],
  };
}

export function recentItem(event: LedgerEvent, pairs: Pairs): Item[] {
  const { seq, event_id, kind, content, actor_id, words, artifact_id, superseded } = event;
  const text = textOf(kind, content);
  if (!/\S/u.test(text)) return [];
  const head = text.length > RECENT_CHARACTERS ? `${text.slice(0, RECENT_CHARACTERS).toWellFormed()} […]` : text;
  return [
    {
      type: kind === 'decision' ? 'decision' : 'text',
      text: marked(renderPassage({ ...event, text: head, call: pairs.get(seq) }), superseded),
      refs: [event_id],
      ids: [event_id],
      // "yes" of two people is two answers
      said: (words ?? []).length < 4 ? `${actor_id} ${text}` : text,
      words: words ?? [],
      ...(artifact_id !== null && { artifact_id }),
      ...partOf(seq, 0, kind),
    },
  ];
}

/** The beginning of a call or result that comes in for the sake of what it belongs to. */
export function pairedItem(event: LedgerEvent, pairs: Pairs): Item[] {
  const { text, cut } = event.content as { text: string | null; cut: boolean };
  const said = text?.trim() ?? '';
  return said === '' ? [] : recentItem({ ...event, content: { text: cut ? `${said} […]` : said } }, pairs);
}

/** What a handoff cites: an event as in a window, a memory as if it was found. */
export function citedItem(event: LedgerEvent, pairs: Pairs): Item[] {
  const { event_id, kind, content, memory, words } = event;
  if (!memory) return recentItem(event, pairs);
  const text = String(unfolded(kind, content).text ?? textOf(kind, content));
  return [
    {
      type: claimTypes.find((type) => type === memory.kind) ?? 'text',
      text: renderPassage({ ...event, kind: labelOf(memory), text, occurred_at: saidAt(memory, event.occurred_at) }),
      refs: refsOf(event_id, memory),
      ids: [memory.memory_id, event_id],
      about: aboutOf(memory, event.superseded),
      said: text,
      words: words ?? [],
      ...claimOf(memory, event.superseded),
    },
  ];
}

/** Marks a claim without a source, for readers of the text alone. */
const labelOf = ({ kind, trust, grounded }: MemoryDetails): string => (grounded ? kind : `${kind}, ${trust}, no source`);

const claimTypes = ['fact', 'note', 'summary', 'preference', 'task'] as const;

export function evidenceItem(hit: Hit, pairs: Pairs): Item {
  const { seq, event_id, ordinal, memory, superseded, artifact_id } = hit;
  const spoken = { ...hit, text: hit.text.trim(), occurred_at: saidAt(memory, hit.occurred_at), call: pairs.get(seq) };
  const chunk = chunkId(event_id, ordinal);
  const kind = memory && hit.kind.startsWith('memory.') ? labelOf(memory) : hit.kind;
  return {
    type: (memory && claimTypes.find((type) => type === memory.kind && hit.kind.startsWith('memory.'))) ?? 'text',
    text: marked(renderPassage({ ...spoken, kind }), superseded),
    refs: refsOf(event_id, memory, chunk),
    ids: [...(memory ? [memory.memory_id] : []), event_id, chunk],
    about: aboutOf(memory, superseded),
    said: hit.text,
    words: hit.words,
    ...(artifact_id !== null && { artifact_id }),
    ...partOf(seq, ordinal, hit.kind),
    ...claimOf(memory, superseded),
  };
}

/** What a capsule says of itself, if anything, then its items in the order in which they were handed over. */
export function capsuleItems({ capsule_id, author, title, risks, items }: OpenedCapsule): Item[] {
  const said = [title ?? '', ...risks.map((risk) => `risk: ${risk}`)].filter((part) => part !== '').join('; ');
  const head = {
    type: 'text' as const,
    text: `from ${inLine(author)}: ${said}`,
    refs: [capsule_id],
    ids: [capsule_id],
    said: capsule_id,
    words: [],
  };
  return [...(said === '' ? [] : [head]), ...items.filter(({ unsourced }) => !unsourced).map(capsuleItem)];
}

const capsuleItem = ({ id, type, kind, text, refs, scope, trust, origin, superseded }: OpenedCapsule['items'][number]): Item => ({
  type: itemTypes.find((each) => each === kind) ?? 'text',
  // never text alone: it could begin like a rule
  text: marked(`${origin ? inLine(origin.id) : type}: ${text}`, superseded),
  refs: [...new Set(refs)].slice(0, 256),
  ids: [id],
  about: {
    ...(id.startsWith('mem_') && { memory_id: id }),
    ...(scope !== undefined && { scope }),
    ...(trust !== undefined && { trust }),
    ...(origin !== undefined && { origin }),
    ...(superseded && { superseded: true as const }),
  },
  said: text,
  words: [],
});
