import { appendFileSync } from 'node:fs';

// Sends requests through nginx until SIGTERM, without retries: `load.ts URL TOKEN FILE`. Writes the ids of acknowledged events to FILE, an id per
// line, and finally prints the counts as JSON. NODE_EXTRA_CA_CERTS names the certificate.

const [url, token, file] = process.argv.slice(2) as [string, string, string];
const WORKERS = 4;
const counts = { answered: 0, recorded: 0, failed: {} as Record<string, number> };
let over = false;
process.on('SIGTERM', () => {
  over = true;
});

async function post(path: string, body: object, more: Record<string, string> = {}): Promise<Response> {
  return fetch(url + path, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) });
}
// fetch keeps its connections open
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
const event = (text: string) => ({
  session_id: 'load',
  channel: 'team',
  actor: { type: 'agent', id: 'loader' },
  kind: 'message',
  content: { text },
});

const kinds: Record<string, (text: string) => Promise<Response>> = {
  read: () => fetch(`${url}/v1/events?limit=5`, { headers }),
  record: (text) => post('/v1/events', event(text)),
  'record keyed': (text) => post('/v1/events', event(text), { 'idempotency-key': text }),
  context: () => post('/v1/context', { session_id: 'load', channel: 'team', query_text: 'what was said?', max_tokens: 500 }),
};

async function request(turn: number): Promise<void> {
  const [name, send] = Object.entries(kinds)[turn % 4]!;
  const failed = (why: string) => {
    counts.failed[`${name}: ${why}`] = (counts.failed[`${name}: ${why}`] ?? 0) + 1;
  };
  try {
    const response = await send(`load ${process.pid} ${turn}`);
    const answer = await response.text();
    counts.answered++;
    if (!response.ok) return failed(`${response.status} ${answer.slice(0, 200)}`);
    if (response.status !== 201) return;
    appendFileSync(file, `${JSON.parse(answer).event_id}\n`);
    counts.recorded++;
  } catch (error) {
    failed(String((error as Error).cause ?? error));
  }
}

let turn = 0;
await Promise.all(
  Array.from({ length: WORKERS }, async () => {
    while (!over) await request(turn++);
  }),
);
console.log(JSON.stringify(counts));
