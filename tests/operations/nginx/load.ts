import { newTenant } from '../../support/client.ts';
import { type Asking, type Edge, keptConnections, requestEdge } from './edge.ts';

// Continuous requests while a test changes nginx or a daemon.

export interface Load {
  token: string;
  /** Number of requests by server and status, or by error. */
  counts: Record<string, number>;
  /** Ids of acknowledged events, and their texts. */
  recorded: Map<string, string>;
  /** Waits for the requests that are in flight. */
  stop(): Promise<void>;
}

const WORKERS = 6;

/** Over kept connections, where a reload of this nginx spares them. Each worker in turn reads, searches and builds contexts (as POST, without a key), records with an Idempotency-Key and, where `plain`, without one. */
export async function startLoad(edge: Edge, { plain = false } = {}): Promise<Load> {
  const { token } = await newTenant(edge.operator);
  const load: Load = { token, counts: {}, recorded: new Map(), stop: () => Promise.resolve() };
  const agent = edge.kept ? keptConnections() : undefined;
  let over = false;
  const count = (name: string) => {
    load.counts[name] = (load.counts[name] ?? 0) + 1;
  };
  const one = async (turn: number) => {
    const kinds = ['read', 'search', 'context', 'keyed', ...(plain ? ['plain'] : [])];
    const kind = kinds[turn % kinds.length]!;
    const text = `${kind} ${turn}`;
    try {
      const { status, text: answer } = await send(
        (path, asking) => requestEdge(edge, path, { ...asking, agent }),
        token,
        kind,
        text,
      );
      count(`${kind} ${status}`);
      if (status === 201) load.recorded.set(JSON.parse(answer).event_id, text);
    } catch (error) {
      count(`${kind} ${(error as Error).message}`);
    }
  };
  let turn = 0;
  const workers = Array.from({ length: WORKERS }, async () => {
    while (!over) await one(turn++);
  });
  load.stop = async () => {
    over = true;
    await Promise.all(workers);
    agent?.destroy();
  };
  return load;
}

export const eventOf = (session_id: string, text: string) => ({
  session_id,
  channel: 'private',
  actor: { type: 'human', id: 'alice' },
  kind: 'message',
  content: { text },
});

function send(to: (path: string, asking: Asking) => ReturnType<typeof requestEdge>, token: string, kind: string, text: string) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  if (kind === 'read') return to('/v1/events?limit=1', { headers });
  if (kind === 'search') return to('/v1/search', { method: 'POST', headers, body: '{"query":"keyed"}' });
  if (kind === 'context')
    return to('/v1/context', {
      method: 'POST',
      headers,
      body: '{"session_id":"s1","channel":"private","query_text":"keyed","max_tokens":500}',
    });
  const key = kind === 'keyed' ? { 'idempotency-key': text } : undefined;
  return to('/v1/events', { method: 'POST', headers: { ...headers, ...key }, body: JSON.stringify(eventOf('s1', text)) });
}
