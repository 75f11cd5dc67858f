import { headerOf } from './header.ts';
import { cutAt, SEARCHABLE_CHARACTERS, splitText } from './split.ts';

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

// Which fields lead, in this order; every further string of a content follows in the order it was sent.
const leading: Record<string, string[]> = {
  message: ['text'],
  tool_call: ['tool'],
  tool_result: ['excerpt_text'],
  decision: ['decision', 'rationale', 'constraints', 'alternatives', 'consequences'],
  task_update: ['title', 'details', 'status'],
};
// Said in the header, or ids that nobody asks for.
const silent: Record<string, string[]> = {
  tool_result: ['tool', 'path', 'line_range', 'truncated'],
  decision: ['scope', 'supersedes'],
  task_update: ['task_id'],
};

/** The passages of an event. `fullText` is the whole of a text of which the content keeps only an excerpt. */
export function passagesOf(event: Passaged, fullText: string | undefined, countTokens: (text: string) => number): Passage[] {
  const content = (event.content ?? {}) as Content;
  const about = {
    ...event,
    names: [content.tool, content.path, content.title].filter((name) => typeof name === 'string').map((name) => cutAt(name, 200)),
  };
  return splitText(textOf(event.kind, content, fullText), countTokens)
    .filter((text) => /\S/u.test(text))
    .map((text) => ({ text, header: headerOf(about, text), token_count: countTokens(text) }));
}

/** What an event says, as one text. */
export function textOf(kind: string, content: Content, fullText?: string): string {
  const first = leading[kind] ?? [];
  const left = { ...content };
  const parts: string[] = [];
  for (const name of first) {
    collect(fullText !== undefined && name === first[0] && kind === 'tool_result' ? fullText : content[name], parts);
    delete left[name];
  }
  for (const name of silent[kind] ?? []) delete left[name];
  if (fullText !== undefined && kind !== 'tool_result') collect(fullText, parts);
  else for (const value of Object.values(left)) collect(value, parts);
  return parts.join('\n');
}

/** Every string, number and truth in a value, to the searchable bound; names of object members only say where. */
function collect(value: unknown, into: string[]): void {
  const pending = [value];
  let room = SEARCHABLE_CHARACTERS;
  while (pending.length > 0 && room > 0) {
    const next = pending.pop();
    if (typeof next === 'string' || typeof next === 'number') {
      const text = cutAt(String(next), room);
      if (text !== '') into.push(text);
      room -= text.length + 1;
    } else if (next !== null && typeof next === 'object') pending.push(...Object.values(next).reverse());
  }
}
