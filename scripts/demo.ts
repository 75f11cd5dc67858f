import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../src/config.ts';
import { startDaemon } from '../src/daemon.ts';
import { startupMessage } from '../src/startup_error.ts';

// `npm run demo`: starts the service on a temporary embedded database, records a short dialogue of five weeks, asks a question, and shows the
// context that a model would get to answer it. All calls go over HTTP, as those of a client.

interface Turn {
  by?: string;
  text?: string;
  tool?: string;
  decision?: string;
  rationale?: string[];
  task?: string;
  status?: string;
}
const sessions = JSON.parse(readFileSync(join(import.meta.dirname, 'demo-dialogue.json'), 'utf8')) as {
  session: string;
  day: string;
  turns: Turn[];
}[];
const question = 'Why did we avoid sqlite in v1?';

const dataDir = mkdtempSync(join(tmpdir(), 'agent-memory-demo-'));
console.log('Starting on an embedded database (the first start takes some seconds) …');
const daemon = await start().catch((error: unknown) => {
  console.error(startupMessage(error));
  rmSync(dataDir, { recursive: true, force: true });
  process.exit(1);
});
try {
  await play();
} finally {
  await daemon.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

async function start() {
  const config = loadConfig({
    DATA_DIR: dataDir,
    PORT: process.env.PORT ?? '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
    RATE_LIMIT_ENABLED: 'false',
  });
  return startDaemon(config);
}

async function play(): Promise<void> {
  const account = { username: 'mara', password: randomBytes(12).toString('base64url'), tenant_id: 'kitchen' };
  await call('POST', '/auth/register', account);
  const { access_token } = await call<{ access_token: string }>('POST', '/auth/login', account);
  for (const { session, day, turns } of sessions) {
    const events = turns.map((turn, i) => toEvent(turn, session, new Date(Date.parse(`${day}T10:00:00Z`) + i * 60_000)));
    const { data } = await call<{ data: { seq: number }[] }>('POST', '/v1/events', { events }, access_token);
    console.log(`${day}  session ${session}: ${events.length} events, seq ${data[0]!.seq}–${data.at(-1)!.seq}`);
  }
  console.log(`\nQuestion: ${question}\n`);
  const context = await call<{ text: string; token_used: number; budget_tokens: number }>(
    'POST',
    '/v1/context?render=text',
    { session_id: 'today', channel: 'team', query_text: question, max_tokens: 600 },
    access_token,
  );
  console.log(context.text.replaceAll(/^/gm, '  | '));
  console.log(`\n${context.token_used} of ${context.budget_tokens} tokens. This text goes into the next model call.`);
}

function toEvent(turn: Turn, session_id: string, at: Date) {
  const [type, id] = (turn.by ?? 'agent:planner').split(':');
  const shared = { session_id, channel: 'team', actor: { type, id }, project_id: 'recipe-app', occurred_at: at.toISOString() };
  if (turn.decision) return { ...shared, kind: 'decision', content: { decision: turn.decision, rationale: turn.rationale } };
  if (turn.task) return { ...shared, kind: 'task_update', content: { title: turn.task, status: turn.status } };
  if (turn.tool) return { ...shared, kind: 'tool_result', content: { tool: turn.tool, excerpt_text: turn.text } };
  return { ...shared, kind: 'message', content: { text: turn.text } };
}

async function call<T>(method: string, path: string, body: unknown, token?: string): Promise<T> {
  const response = await fetch(daemon.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
