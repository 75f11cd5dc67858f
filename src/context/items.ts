import type { OpenedCapsule } from '../capsules/index.ts';
import { chunkId, textOf } from '../passages/index.ts';
import type { Hit, MemoryDetails } from '../search/index.ts';
import { type Item, type ItemMetadata, itemTypes } from './pack.ts';
import { escapeLineEnds, flattenMemory, renderDecision, renderHandoff, renderPassage, renderTask } from './render.ts';
import type { ContextEvent, Handoff } from './sql.ts';
import type { ToolPair } from './tool_calls.ts';

// Converts the rows that were read into items: text, ids, refs and metadata.

/** Maximum number of characters of an event in the recent window, which is for following the conversation and not for reading outputs. */
const RECENT_CHARACTERS = 4_000;

/** Returns the ids of the memory, of the event with its content and of what the memory cites. */
const refsOf = (event_id: string, memory: MemoryDetails | null, chunk?: string): string[] => [
  ...new Set([...(memory ? [memory.memory_id] : []), event_id, ...(chunk ? [chunk] : []), ...(memory?.refs ?? [])]),
];

const metadataOf = (memory: MemoryDetails | null, superseded: boolean): ItemMetadata => ({
  ...(memory && { memory_id: memory.memory_id, scope: memory.scope, trust: memory.trust, origin: memory.origin }),
  ...(superseded && { superseded: true as const }),
});

/** Returns the fields by which claims of one subject are compared. Superseded claims conflict with nothing. */
const claimOf = (memory: MemoryDetails | null, superseded: boolean): Pick<Item, 'claim'> =>
  memory?.claim_scope === undefined || superseded
    ? {}
    : { claim: { body: memory.body, claim_scope: memory.claim_scope, effective_from: memory.effective_from! } };

/** Returns the time of the statement; a memory may be recorded long after it. */
const statedAt = (memory: MemoryDetails | null, occurred_at: string): string =>
  memory?.stated_at === undefined ? occurred_at : new Date(memory.stated_at).toISOString();

const toolPartOf = (seq: number, ordinal: number, kind: string): Pick<Item, 'toolPart'> =>
  kind === 'tool_call' || kind === 'tool_result' ? { toolPart: { seq, ordinal, kind } } : {};

export type ToolPairs = Map<number, ToolPair>;

const markSuperseded = (text: string, superseded: boolean) => (superseded ? `(superseded) ${text}` : text);

export const taskItem = ({ event_id, kind, content, memory }: ContextEvent): Item => ({
  type: 'task',
  text: renderTask(flattenMemory(kind, content)),
  refs: refsOf(event_id, memory),
  ids: [...(memory ? [memory.memory_id] : []), event_id],
  metadata: metadataOf(memory, false),
  // tasks with the same text are different tasks
  comparedText: event_id,
  lexemes: [],
});

export function decisionItem({ event_id, kind, content, occurred_at, lexemes, superseded, memory }: ContextEvent): Item {
  const rendered = renderDecision(flattenMemory(kind, content));
  return {
    type: 'decision',
    text: markSuperseded(`${occurred_at.slice(0, 10)}: ${rendered}`, superseded),
    refs: refsOf(event_id, memory),
    ids: [...(memory ? [memory.memory_id] : []), event_id],
    metadata: metadataOf(memory, superseded),
    comparedText: markSuperseded(rendered, superseded),
    lexemes: lexemes ?? [],
  };
}

export function ruleItem({ event_id, content, lexemes, memory }: ContextEvent): Item {
  const { kind, scope, memory_id } = memory!;
  return {
    type: kind as 'rule' | 'preference',
    text: `[${scope}] ${String(content.text ?? '')}`,
    refs: refsOf(event_id, memory),
    ids: [memory_id, event_id],
    metadata: metadataOf(memory, false),
    // the same text in another scope is another rule
    comparedText: `${scope} ${String(content.text ?? '')}`,
    lexemes: lexemes ?? [],
    ...claimOf(memory, false),
  };
}

export function handoffItem({ event_id, content, occurred_at, memory }: Handoff): Item {
  const text = `${occurred_at.slice(0, 10)} ${renderHandoff(flattenMemory('memory.created', content), memory.origin.id)}`;
  const { refs } = (content.body ?? {}) as { refs?: unknown };
  const citedRefs = (Array.isArray(refs) ? refs : []).filter((ref) => typeof ref === 'string').slice(0, 256);
  return {
    type: 'handoff',
    text,
    refs: [...new Set([...refsOf(event_id, memory), ...citedRefs])],
    ids: [memory.memory_id, event_id],
    metadata: metadataOf(memory, false),
    comparedText: text,
    lexemes: [],
  };
}

export function recentItem(event: ContextEvent, pairs: ToolPairs): Item[] {
  const { seq, event_id, kind, content, actor_id, lexemes, artifact_id, superseded } = event;
  const text = textOf(kind, content);
  if (!/\S/u.test(text)) return [];
  const head = text.length > RECENT_CHARACTERS ? `${text.slice(0, RECENT_CHARACTERS).toWellFormed()} […]` : text;
  return [
    {
      type: kind === 'decision' ? 'decision' : 'text',
      text: markSuperseded(renderPassage({ ...event, text: head, call: pairs.get(seq) }), superseded),
      refs: [event_id],
      ids: [event_id],
      // "yes" from two people is two answers
      comparedText: (lexemes ?? []).length < 4 ? `${actor_id} ${text}` : text,
      lexemes: lexemes ?? [],
      ...(artifact_id !== null && { artifact_id }),
      ...toolPartOf(seq, 0, kind),
    },
  ];
}

/** Returns the beginning of a call or result that is included because of the other half of its pair. */
export function pairedItem(event: ContextEvent, pairs: ToolPairs): Item[] {
  const { text, cut } = event.content as { text: string | null; cut: boolean };
  const beginning = text?.trim() ?? '';
  return beginning === '' ? [] : recentItem({ ...event, content: { text: cut ? `${beginning} […]` : beginning } }, pairs);
}

/** Renders what a handoff cites: an event as in the recent window, a memory as in the evidence. */
export function citedItem(event: ContextEvent, pairs: ToolPairs): Item[] {
  const { event_id, kind, content, memory, lexemes } = event;
  if (!memory) return recentItem(event, pairs);
  const text = String(flattenMemory(kind, content).text ?? textOf(kind, content));
  return [
    {
      type: claimTypes.find((type) => type === memory.kind) ?? 'text',
      text: renderPassage({ ...event, kind: labelOf(memory), text, occurred_at: statedAt(memory, event.occurred_at) }),
      refs: refsOf(event_id, memory),
      ids: [memory.memory_id, event_id],
      metadata: metadataOf(memory, event.superseded),
      comparedText: text,
      lexemes: lexemes ?? [],
      ...claimOf(memory, event.superseded),
    },
  ];
}

/** Returns the kind of a memory, with a warning if it is a claim without a source, because the model sees only the text. */
const labelOf = ({ kind, trust, grounded }: MemoryDetails): string => (grounded ? kind : `${kind}, ${trust}, no source`);

const claimTypes = ['fact', 'note', 'summary', 'preference', 'task'] as const;

export function evidenceItem(hit: Hit, pairs: ToolPairs): Item {
  const { seq, event_id, ordinal, memory, superseded, artifact_id } = hit;
  const passage = { ...hit, text: hit.text.trim(), occurred_at: statedAt(memory, hit.occurred_at), call: pairs.get(seq) };
  const chunk = chunkId(event_id, ordinal);
  const kind = memory && hit.kind.startsWith('memory.') ? labelOf(memory) : hit.kind;
  return {
    type: (memory && claimTypes.find((type) => type === memory.kind && hit.kind.startsWith('memory.'))) ?? 'text',
    text: markSuperseded(renderPassage({ ...passage, kind }), superseded),
    refs: refsOf(event_id, memory, chunk),
    ids: [...(memory ? [memory.memory_id] : []), event_id, chunk],
    metadata: metadataOf(memory, superseded),
    comparedText: hit.text,
    session: hit.session_id,
    lexemes: hit.lexemes,
    ...(artifact_id !== null && { artifact_id }),
    ...toolPartOf(seq, ordinal, hit.kind),
    ...claimOf(memory, superseded),
  };
}

/** Returns the title and risks of a capsule, if it has any, then its items in their order. */
export function capsuleItems({ capsule_id, author, title, risks, items }: OpenedCapsule): Item[] {
  const description = [title ?? '', ...risks.map((risk) => `risk: ${risk}`)].filter((part) => part !== '').join('; ');
  const head = {
    type: 'text' as const,
    text: `from ${escapeLineEnds(author)}: ${description}`,
    refs: [capsule_id],
    ids: [capsule_id],
    comparedText: capsule_id,
    lexemes: [],
  };
  return [...(description === '' ? [] : [head]), ...items.filter(({ unsourced }) => !unsourced).map(capsuleItem)];
}

const capsuleItem = ({ id, type, kind, text, refs, scope, trust, origin, superseded }: OpenedCapsule['items'][number]): Item => ({
  type: itemTypes.find((each) => each === kind) ?? 'text',
  // prefixed, because the text alone could look like a rule
  text: markSuperseded(`${origin ? escapeLineEnds(origin.id) : type}: ${text}`, superseded),
  refs: [...new Set(refs)].slice(0, 256),
  ids: [id],
  metadata: {
    ...(id.startsWith('mem_') && { memory_id: id }),
    ...(scope !== undefined && { scope }),
    ...(trust !== undefined && { trust }),
    ...(origin !== undefined && { origin }),
    ...(superseded && { superseded: true as const }),
  },
  comparedText: text,
  lexemes: [],
});
