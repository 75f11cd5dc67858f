import type { Client } from '../support/client.ts';
import { readEvents, type ServerSent } from '../support/sse.ts';
import { NAMESPACE, type Row } from './client.ts';

/** A change that a watch has received, in short. */
export interface Change {
  id: number;
  event: string;
  data: Row;
}

export interface Watching {
  response: Response;
  /** Returns the next changes. Throws if the stream ends before. */
  take(count: number): Promise<Change[]>;
  /** Reads until the stream ends, and returns everything that it sent. */
  rest(): Promise<ServerSent[]>;
  /** Reads until the stream sends this position, and returns the changes before. */
  until(position: number): Promise<Change[]>;
  close(): void;
}

/** Opens a watch. The client must be of the daemon at `url`. */
export async function watch(
  { url, token }: Pick<Client, 'url' | 'token'>,
  query = '',
  { headers = {}, namespace = NAMESPACE }: { headers?: Record<string, string>; namespace?: string } = {},
): Promise<Watching> {
  const abort = new AbortController();
  const response = await fetch(`${url}/v1/state/${encodeURIComponent(namespace)}${query}`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, ...headers },
    signal: abort.signal,
  });
  const sent = readEvents(response);
  const changeOf = ({ id, event, data }: ServerSent): Change => ({ id: Number(id), event: event!, data: JSON.parse(data!) });
  return {
    response,
    take: async (count) => {
      const changes: Change[] = [];
      while (changes.length < count) {
        const { value, done } = await sent.next();
        if (done) throw new Error(`the stream ended after ${changes.length} of ${count} changes`);
        if (value.data) changes.push(changeOf(value));
      }
      return changes;
    },
    rest: async () => {
      const all: ServerSent[] = [];
      for await (const one of sent) all.push(one);
      return all;
    },
    until: async (position) => {
      const changes: Change[] = [];
      for (;;) {
        // not `for await`, which would end the stream
        const { value, done } = await sent.next();
        if (done) throw new Error(`the stream ended before position ${position}`);
        if (value.data) changes.push(changeOf(value));
        if (Number(value.id) >= position) return changes;
      }
    },
    close: () => abort.abort(),
  };
}

export const brief = (changes: Change[]) => changes.map(({ id, event, data }) => [id, event, data.key, data.version]);
