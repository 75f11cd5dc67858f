import type { Handed } from '../capsules/index.ts';
import { chunkId, type Hit, type Standing, textOf } from '../search/index.ts';
import { type About, type Item, itemTypes } from './pack.ts';
import { inLine, renderDecision, renderHandoff, renderPassage, renderTask, unfolded } from './render.ts';
import type { Handoff, LedgerEvent } from './sql.ts';

// What was read, as items: each with what it is, what it rests on, and how it reads.

/** An event in the recent window is cut here: the window is for following the talk, not for reading outputs. */
const RECENT_CHARACTERS = 4_000;

/** The memory, the event that holds its content, and what that rests on. */
const refsOf = (event_id: string, memory: Standing | null, chunk?: string): string[] => [
  ...new Set([...(memory ? [memory.memory_id] : []), event_id, ...(chunk ? [chunk] : []), ...(memory?.refs ?? [])]),
];

const aboutOf = (memory: Standing | null, superseded: boolean): About => ({
  ...(memory && { memory_id: memory.memory_id, scope: memory.scope, trust: memory.trust, origin: memory.origin }),
  ...(superseded && { superseded: true as const }),
});

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
  };
}

export function handoffItem({ event_id, content, occurred_at, memory }: Handoff): Item {
  const text = `${occurred_at.slice(0, 10)} ${renderHandoff(unfolded('memory.created', content), memory.origin.id)}`;
  const named = ((content.body as { refs?: string[] } | undefined)?.refs ?? []).slice(0, 256);
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

export function recentItem({
  event_id,
  kind,
  content,
  actor_id,
  occurred_at,
  words,
  artifact_id,
  superseded,
}: LedgerEvent): Item[] {
  const text = textOf(kind, content);
  if (!/\S/u.test(text)) return [];
  const head = text.length > RECENT_CHARACTERS ? `${text.slice(0, RECENT_CHARACTERS).toWellFormed()} […]` : text;
  return [
    {
      type: kind === 'decision' ? 'decision' : 'text',
      text: marked(renderPassage({ actor_id, kind, occurred_at, text: head }), superseded),
      refs: [event_id],
      ids: [event_id],
      // "yes" of two people is two answers
      said: (words ?? []).length < 4 ? `${actor_id} ${text}` : text,
      words: words ?? [],
      ...(artifact_id !== null && { artifact_id }),
    },
  ];
}

/** What a handoff cites: an event as in a window, a memory as if it was found. */
export function citedItem(event: LedgerEvent): Item[] {
  const { event_id, kind, content, memory, words } = event;
  if (!memory) return recentItem(event);
  const text = String(unfolded(kind, content).text ?? textOf(kind, content));
  return [
    {
      type: claimTypes.find((type) => type === memory.kind) ?? 'text',
      text: renderPassage({ ...event, kind: memory.kind, text }),
      refs: refsOf(event_id, memory),
      ids: [memory.memory_id, event_id],
      about: aboutOf(memory, event.superseded),
      said: text,
      words: words ?? [],
    },
  ];
}

const claimTypes = ['fact', 'note', 'summary', 'preference', 'task'] as const;

export function evidenceItem(hit: Hit): Item {
  const { event_id, ordinal, memory, superseded, artifact_id } = hit;
  const chunk = chunkId(event_id, ordinal);
  const kind = memory && hit.kind.startsWith('memory.') ? memory.kind : hit.kind;
  return {
    type: (memory && claimTypes.find((type) => type === memory.kind && hit.kind.startsWith('memory.'))) ?? 'text',
    text: marked(renderPassage({ ...hit, kind, text: hit.text.trim() }), superseded),
    refs: refsOf(event_id, memory, chunk),
    ids: [...(memory ? [memory.memory_id] : []), event_id, chunk],
    about: aboutOf(memory, superseded),
    said: hit.text,
    words: hit.words,
    ...(artifact_id !== null && { artifact_id }),
  };
}

/** What a capsule says of itself, if anything, then its items in the order in which they were handed over. */
export function capsuleItems({ capsule_id, author, title, risks, items }: Handed): Item[] {
  const said = [title ?? '', ...risks.map((risk) => `risk: ${risk}`)].filter((part) => part !== '').join('; ');
  const head = {
    type: 'text' as const,
    text: `from ${inLine(author)}: ${said}`,
    refs: [capsule_id],
    ids: [capsule_id],
    said: capsule_id,
    words: [],
  };
  return [...(said === '' ? [] : [head]), ...items.filter(({ grounded }) => grounded).map(handedItem)];
}

const handedItem = ({ id, type, kind, text, refs, scope, trust, origin, superseded }: Handed['items'][number]): Item => ({
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
