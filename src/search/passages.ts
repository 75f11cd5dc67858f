import { headersFor } from './header.ts';
import { cutAt, estimateTokens, SEARCHABLE_CHARACTERS, splitText } from './split.ts';

/** What passages are made of; rows of the log have it. */
export interface Passaged {
  kind: string;
  actor_id: string;
  content: unknown;
  tags: string[];
}

export interface Passage {
  text: string;
  header: string;
  token_count: number;
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
const silent = new Set([
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
]);

/** The passages of an event. `fullText` is the whole of a text of which the content keeps only the beginning. */
export function passagesOf(event: Passaged, fullText?: string): Passage[] {
  const content = (event.content ?? {}) as Content;
  const headerOf = headersFor({
    ...event,
    kind: isMemory(event.kind) ? String(content.kind ?? '') : event.kind,
    names: [content.tool, content.path, content.title].filter((name) => typeof name === 'string').map((name) => cutAt(name, 200)),
  });
  return splitText(textOf(event.kind, content, fullText))
    .filter((text) => /\S/u.test(text))
    .map((text) => ({ text, header: headerOf(text), token_count: estimateTokens(text) }));
}

const isMemory = (kind: string) => kind.startsWith('memory.');
const ids = /^(?:evt|chk|art|mem|cap|edt)_[0-9a-z_]+$/;

/** A memory says its text and what is said in its body; its other fields say how it is to be taken. A proposal says nothing yet. */
function memoryTextOf({ text, body, status: standing }: Content): string {
  if (standing === 'proposed') return '';
  const { to_agent: _, task_id: __, status: ___, priority: ____, ...said } = (body ?? {}) as Content;
  const parts = leaves(said).filter((part) => part !== text && !ids.test(part));
  return cutAt([...leaves(text), ...parts].join('\n'), SEARCHABLE_CHARACTERS);
}

/** What an event says, as one text. */
export function textOf(kind: string, content: Content, fullText?: string): string {
  if (isMemory(kind)) return memoryTextOf(content);
  const order = leading[kind] ?? [];
  const rest = Object.keys(content)
    .filter((name) => !order.includes(name) && !silent.has(name))
    .sort();
  const parts: string[] = [];
  let room = SEARCHABLE_CHARACTERS;
  for (const value of [...order, ...rest].flatMap((name) => leaves(content[name]))) {
    if (room <= 0) break;
    const whole = fullText !== undefined && value.length > 1_000 && fullText.startsWith(value) ? fullText : value;
    parts.push(cutAt(whole, room));
    room -= whole.length + 1;
  }
  return parts.join('\n');
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
