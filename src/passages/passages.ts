import { isId } from '../id.ts';
import { headersFor } from './header.ts';
import { cutAt, estimateTokens, splitText } from './split.ts';
import { traitsOf } from './traits.ts';

/** Most bytes of one event that are indexed: what one transaction can write. The answer to the write counts what lies beyond. */
export const SEARCHABLE_BYTES = 4 * 1024 * 1024;
/** What the column of the ordinal holds. Only a text of signs has more passages within SEARCHABLE_BYTES. */
export const MAX_PASSAGES = 32_767;

/** What passages are made of; rows of the log have it. */
export interface PassageSource {
  kind: string;
  actor_id: string;
  content: unknown;
  tags: string[];
}

export interface Passage {
  text: string;
  header: string;
  token_count: number;
  traits: number;
}

type Content = Record<string, unknown>;

// Which fields lead, in this order; every further string of a content follows by its name, because the log does not keep an order.
const leading: Record<string, string[]> = {
  message: ['text'],
  tool_call: ['tool'],
  tool_result: ['excerpt_text'],
  decision: ['decision', 'rationale', 'constraints', 'alternatives', 'consequences'],
  task_update: ['title', 'details', 'status'],
};
// Said in the header, or marks and ids that nobody asks for.
const excluded = new Set([
  'tool',
  'path',
  'line_range',
  'truncated',
  'artifact_id',
  'scope',
  'supersedes',
  'task_id',
  'call_id',
  'sealed',
  'unindexed_bytes',
]);

export interface Indexed {
  passages: Passage[];
  unindexed_bytes: number;
}

export const passagesOf = (event: PassageSource): Passage[] => [...eachPassage(event)];

/** The passages of an event, and how many bytes of what it says they leave out. */
export function indexOf(event: PassageSource, fullText?: string): Indexed {
  const each = eachPassage(event, fullText);
  const passages: Passage[] = [];
  for (;;) {
    const next = each.next();
    if (next.done) return { passages, unindexed_bytes: next.value };
    passages.push(next.value);
  }
}

/**
 * The passages one by one, so that a caller can pause; returns how many bytes they leave out. `fullText` is the whole of a text of
 * which the content keeps only the beginning.
 */
export function* eachPassage(event: PassageSource, fullText?: string): Generator<Passage, number> {
  const content = (event.content ?? {}) as Content;
  const headerOf = headersFor({
    ...event,
    kind: isMemory(event.kind) ? String(content.kind ?? '') : event.kind,
    names: [content.tool, content.path, content.title].filter((name) => typeof name === 'string').map((name) => cutAt(name, 200)),
  });
  const texts = textsIn(event.kind, content, fullText);
  let bytes = 0;
  let count = 0;
  for (const text of splitText(joined(texts))) {
    const more = Buffer.byteLength(text);
    if (bytes + more > SEARCHABLE_BYTES || count === MAX_PASSAGES) break;
    bytes += more;
    if (!/\S/u.test(text)) continue;
    count += 1;
    yield { text, header: headerOf(text), token_count: estimateTokens(text), traits: traitsOf(text) };
  }
  return bytesOf(texts) - bytes;
}

const bytesOf = (parts: string[]): number =>
  parts.reduce((sum, part) => sum + Buffer.byteLength(part), Math.max(0, parts.length - 1));

const isMemory = (kind: string) => kind.startsWith('memory.');

/** A memory says its text and what is said in its body; its other fields say how it is to be taken. A proposal says nothing yet. */
function textsInMemory({ text, body, status }: Content): string[] {
  if (status === 'proposed') return [];
  const { to_agent: _, task_id: __, status: ___, priority: ____, ...texts } = (body ?? {}) as Content;
  return [...leaves(text), ...leaves(texts).filter((part) => part !== text && !isId(part))];
}

/** What an event says, as one text; what search cannot reach is left out. */
export const textOf = (kind: string, content: Content): string => joined(textsIn(kind, content));

/** Every part of what an event says, in order. */
function textsIn(kind: string, content: Content, fullText?: string): string[] {
  if (isMemory(kind)) return textsInMemory(content);
  const order = leading[kind] ?? [];
  const rest = Object.keys(content)
    .filter((name) => !order.includes(name) && !excluded.has(name))
    .sort();
  return [...order, ...rest]
    .flatMap((name) => leaves(content[name]))
    .map((part) => (fullText !== undefined && part.length > 1_000 && fullText.startsWith(part) ? fullText : part));
}

/** One text of the parts. A character is at least a byte, so nothing beyond the bound could be indexed. */
function joined(parts: string[]): string {
  const pieces: string[] = [];
  let room = SEARCHABLE_BYTES;
  for (const part of parts) {
    if (room <= 0) break;
    pieces.push(cutAt(part, room));
    room -= part.length + 1;
  }
  return pieces.join('\n');
}

/** Every string and number in a value, in the order of names; the names only say where. */
function leaves(value: unknown): string[] {
  const found: string[] = [];
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop();
    if (typeof next === 'string') found.push(next);
    else if (typeof next === 'number') found.push(String(next));
    else if (Array.isArray(next)) for (const inner of next.toReversed()) pending.push(inner);
    else if (next !== null && typeof next === 'object')
      for (const name of Object.keys(next).sort().reverse()) pending.push((next as Content)[name]);
  }
  return found.filter((text) => text !== '');
}
