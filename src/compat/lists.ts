import type { ServerResponse } from 'node:http';
import { type Reply, STREAMED } from '../http/route.ts';
import { endChunked, writeChunked } from '../http/write_chunked.ts';
import { inSlices, type Steps } from '../slices.ts';

// Lists without pages, as AgentState answers them. A list of any length is sent page by page, so that a part of it is in memory.

interface Form {
  mediaType: string;
  start: string;
  item(text: string, isFirst: boolean): string;
  end: string;
}

export const jsonArray: Form = {
  mediaType: 'application/json; charset=utf-8',
  start: '[',
  item: (text, isFirst) => (isFirst ? text : `,${text}`),
  end: ']',
};
export const jsonLines: Form = { mediaType: 'application/x-ndjson', start: '', item: (text) => `${text}\n`, end: '' };

/** A longer list is sent in parts. */
const PART_CHARACTERS = 256 * 1024;

/**
 * Answers with the items of all pages. If the request times out or fails after the first part, the connection is closed before the list is complete,
 * which the client notices.
 */
export async function sendList(
  res: ServerResponse,
  signal: AbortSignal,
  form: Form,
  pages: AsyncIterable<unknown[]>,
): Promise<Reply | typeof STREAMED> {
  const headers = { 'Content-Type': form.mediaType };
  let text = form.start;
  let count = 0;
  for await (const page of pages) {
    text += await inSlices(serialized(page, count, form), signal);
    count += page.length;
    if (text.length < PART_CHARACTERS) continue;
    if (!res.headersSent) res.writeHead(200, { ...headers, 'Cache-Control': 'no-store' });
    if (!(await writeChunked(res, Buffer.from(text)))) return STREAMED;
    text = '';
  }
  text += form.end;
  if (!res.headersSent) return { headers, body: text };
  await endChunked(res, Buffer.from(text));
  return STREAMED;
}

function* serialized(items: unknown[], before: number, form: Form): Steps<string> {
  let text = '';
  for (const [i, item] of items.entries()) {
    text += form.item(JSON.stringify(item), before + i === 0);
    yield;
  }
  return text;
}
