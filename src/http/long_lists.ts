import { inSlices, type Steps } from '../slices.ts';
import type { Reply } from './route.ts';

// Serializes long lists item by item without blocking the event loop: a page of the log has up to 4 MiB.

const LONG_LIST = 16;

/** Returns the reply with its body serialized, if the body contains a long list. */
export async function serializeLongLists(reply: Reply, signalOf: () => AbortSignal): Promise<Reply> {
  const { body } = reply;
  if (!hasLongList(body)) return reply;
  const text = await inSlices(jsonInSteps(body), signalOf());
  const headers = { 'Content-Type': 'application/json; charset=utf-8', ...reply.headers };
  return { ...reply, headers, body: text };
}

const hasLongList = (body: unknown): body is object =>
  typeof body === 'object' &&
  body !== null &&
  !Buffer.isBuffer(body) &&
  Object.values(body).some((value) => Array.isArray(value) && value.length >= LONG_LIST);

/** Serializes like JSON.stringify, in steps. */
export function* jsonInSteps(body: object): Steps<string> {
  const members: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    const text = Array.isArray(value) ? yield* listInSteps(value) : (JSON.stringify(value) as string | undefined);
    if (text !== undefined) members.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${members.join(',')}}`;
}

function* listInSteps(list: unknown[]): Steps<string> {
  const items: string[] = [];
  for (const item of list) {
    items.push((JSON.stringify(item) as string | undefined) ?? 'null');
    yield;
  }
  return `[${items.join(',')}]`;
}
