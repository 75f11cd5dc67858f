import { isId } from '../id.ts';
import { headerOf } from './header.ts';
import { cutAt, estimateTokens, splitText } from './split.ts';
import { traitsOf } from './traits.ts';

/** Maximum number of indexed bytes of an event, which one transaction can write. The response reports the rest as `unindexed_bytes`. */
export const SEARCHABLE_BYTES = 4 * 1024 * 1024;
/** The limit of the ordinal column. Only a text of punctuation has more passages within SEARCHABLE_BYTES. */
export const MAX_PASSAGES = 32_767;

/** The fields of an event from which passages are derived. */
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

// Fields that come first, in this order. Other strings follow in the order of their names, because JSONB does not keep the order of members.
const leading: Record<string, string[]> = {
  message: ['text'],
  tool_call: ['tool'],
  tool_result: ['excerpt_text'],
  decision: ['decision', 'rationale', 'constraints', 'alternatives', 'consequences'],
  task_update: ['title', 'details', 'status'],
};
// Fields that are in the header, or that are ids and flags which no query contains.
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

/** Returns the passages of an event and the number of bytes that are not indexed. */
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
 * Yields the passages one by one, so that a caller can pause; returns the number of bytes that are not indexed. `fullText`: the complete
 * text, if the content keeps only an excerpt.
 */
export function* eachPassage(event: PassageSource, fullText?: string): Generator<Passage, number> {
  const content = (event.content ?? {}) as Content;
  const header = headerOf({
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
    yield { text, header, token_count: estimateTokens(text), traits: traitsOf(text) };
  }
  return bytesOf(texts) - bytes;
}

const bytesOf = (parts: string[]): number =>
  parts.reduce((sum, part) => sum + Buffer.byteLength(part), Math.max(0, parts.length - 1));

const isMemory = (kind: string) => kind.startsWith('memory.');

/** Returns the text and the body of a memory; its other fields only qualify it. A proposal has no searchable text. */
function textsInMemory({ text, body, status }: Content): string[] {
  if (status === 'proposed') return [];
  const { to_agent: _, task_id: __, status: ___, priority: ____, ...texts } = (body ?? {}) as Content;
  return [...leaves(text), ...leaves(texts).filter((part) => part !== text && !isId(part))];
}

/** Returns the searchable text of an event. */
export const textOf = (kind: string, content: Content): string => joined(textsIn(kind, content));

/** Returns the texts of an event, in order. */
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

/** Joins texts up to the limit of indexing: a character is at least one byte. */
function joined(parts: string[]): string {
  const pieces: string[] = [];
  let remaining = SEARCHABLE_BYTES;
  for (const part of parts) {
    if (remaining <= 0) break;
    pieces.push(cutAt(part, remaining));
    remaining -= part.length + 1;
  }
  return pieces.join('\n');
}

/** Returns the strings and numbers in a value, in the order of member names; the names themselves are not searchable. */
function leaves(value: unknown): string[] {
  const texts: string[] = [];
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop();
    if (typeof next === 'string') texts.push(next);
    else if (typeof next === 'number') texts.push(String(next));
    else if (Array.isArray(next)) for (const inner of next.toReversed()) pending.push(inner);
    else if (next !== null && typeof next === 'object')
      for (const name of Object.keys(next).sort().reverse()) pending.push((next as Content)[name]);
  }
  return texts.filter((text) => text !== '');
}
