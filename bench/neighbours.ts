import { Agent, request as send } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { messages } from './dialogue.ts';
import { request } from './load.ts';
import type { Figure } from './report.ts';
import { quantile } from './rounds.ts';
import type { World } from './world.ts';

// Measures the latency of one tenant while another sends the heaviest requests that the limits allow, eight at a time.

const SECONDS = 10;
const AT_ONCE = 8;
/** Load of the measured tenant. Each connection pauses after a response; twelve make 20 requests per second of each of three kinds. */
const CALM = { connections: 12, pause_ms: 200 };
const GOAL = { idles: 3, p99_ms: 100, max_ms: 250, loop_ms: 50 };
const LOG = { batches: 40, events: 100 };

interface Load {
  name: string;
  method: string;
  path: string;
  type: string;
  body: Buffer | undefined;
}

interface Seen {
  p50: number;
  p99: number;
  max: number;
}

export async function measureNeighbours(world: World, only = ''): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const heavy = await world.tenant('heavy');
  const loads = loadsOf().filter(({ name }) => name.includes(only));
  if (loads.length === 0) throw new Error(`no load has a name with ${only}`);
  await fillLog(url, heavy);
  const calm = await calmRequests(url, await world.tenant('calm'));
  const look = async (seconds: number) =>
    seenIn((await world.generator.run({ urls: [url], ...CALM, seconds, requests: calm })).latencies);
  await look(2);
  const figures: Figure[] = [];
  for (const load of loads) {
    const idle = await look(SECONDS / 2);
    await loopDelays(url);
    const crowd = startCrowd(url, heavy, load);
    await sleep(500);
    const loaded = await look(SECONDS);
    const loop = await loopDelays(url);
    const answers = await crowd.stop();
    figures.push(...figuresOf(load.name, idle, loaded, loop, answers));
    await sleep(500);
  }
  return figures;
}

function figuresOf(name: string, idle: Seen, loaded: Seen, loop: { p999: number; max: number }, answers: string): Figure[] {
  const of = (what: string, value: number, max: number, note?: string): Figure => ({
    part: 'neighbours',
    name: `${name}: ${what}`,
    value,
    unit: 'ms',
    goal: { max },
    ...(note !== undefined && { note }),
  });
  const shown = ({ p50, p99, max }: Seen) => [p50, p99, max].map((ms) => ms.toFixed(1)).join(' / ');
  return [
    of(
      'p99 of a neighbour',
      loaded.p99,
      Math.round(Math.max(GOAL.idles * idle.p99, GOAL.p99_ms)),
      `p50 / p99 / max: idle ${shown(idle)}, loaded ${shown(loaded)} ms; responses ${answers}`,
    ),
    of('maximum latency of a neighbour', loaded.max, GOAL.max_ms),
    of('event loop p99.9', loop.p999, GOAL.loop_ms, `max ${loop.max.toFixed(1)} ms`),
  ];
}

const seenIn = (latencies: number[]): Seen => ({
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
  max: quantile(latencies, 1),
});

/** Returns the event loop delays since the last call. */
async function loopDelays(url: string): Promise<{ p999: number; max: number }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const ms = (name: string) => 1000 * Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  return { p999: ms('agent_memory_event_loop_delay_p999_seconds'), max: ms('nodejs_eventloop_lag_max_seconds') };
}

async function post(url: string, headers: Record<string, string>, body: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.status !== 201) throw new Error(`append: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}

async function calmRequests(url: string, headers: Record<string, string>): Promise<string[]> {
  const { event_id } = await post(`${url}/v1/events`, headers, messages[0]);
  return [
    request('POST', '/v1/events', headers, messages[1]),
    request('GET', `/v1/events/${String(event_id)}`, headers),
    request('POST', '/v1/search', headers, { query: 'planner counter sqlite', channel: 'team' }),
  ];
}

const word = (n: number) => `w${((n * 7919) % 30_011).toString(36)}`;
const words = (count: number, from: number) => Array.from({ length: count }, (_, i) => word(from + i)).join(' ');

/** Records the data that contexts, searches and lists read: passages that share many words, so that they are near-duplicates. */
async function fillLog(url: string, headers: Record<string, string>): Promise<void> {
  for (let batch = 0; batch < LOG.batches; batch += 1) {
    const events = Array.from({ length: LOG.events }, (_, i) => ({
      session_id: `s${batch % 4}`,
      channel: 'team',
      kind: 'message',
      content: { text: `${words(250, batch * 100 + i)} planner counter` },
      metadata: { build: i, notes: words(200, i) },
    }));
    await post(`${url}/v1/events`, headers, { events });
  }
}

function loadsOf(): Load[] {
  const json = (name: string, path: string, body: unknown): Load => ({
    name,
    method: 'POST',
    path,
    type: 'application/json',
    body: Buffer.from(JSON.stringify(body)),
  });
  const event = (text: string, metadata?: object) => ({
    channel: 'team',
    kind: 'message',
    content: { text },
    ...(metadata && { metadata }),
  });
  const parts = Array.from({ length: 8 }, (_, i) => ({ 'metadata.notes': { contains: `nowhere ${i}` } }));
  const filter = encodeURIComponent(JSON.stringify({ or: parts }));
  const megabyte = { note: 'password='.repeat(110_000) };
  return [
    {
      name: 'artifact of 32 MB',
      method: 'POST',
      path: '/v1/artifacts',
      type: 'text/plain',
      body: Buffer.from('password='.repeat(3_555_555)),
    },
    json('36 events of 1 MB metadata', '/v1/events', { events: Array.from({ length: 36 }, () => event('build', megabyte)) }),
    json('1,000 events of 300 words', '/v1/events', {
      events: Array.from({ length: 1000 }, (_, i) => event(words(300, i * 31))),
    }),
    json('context of 200,000 tokens', '/v1/context?render=text', {
      query: `planner counter ${words(30, 50)}`,
      channel: 'team',
      session_id: 's1',
      max_tokens: 200_000,
    }),
    json('search of 3,000 words', '/v1/search', { query: words(3000, 0), channel: 'team', limit: 100 }),
    {
      name: 'list filtered by metadata',
      method: 'GET',
      path: `/v1/events?channel=team&limit=1000&filter=${filter}`,
      type: '',
      body: undefined,
    },
    { name: 'list of 1,000 events', method: 'GET', path: '/v1/events?channel=team&limit=1000', type: '', body: undefined },
  ];
}

function startCrowd(url: string, headers: Record<string, string>, load: Load): { stop(): Promise<string> } {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const answers: Record<string, number> = {};
  let over = false;
  const one = async () => {
    while (!over) {
      const answer = await sendOnce(url, headers, load, agent);
      answers[answer] = (answers[answer] ?? 0) + 1;
      // A rejection is fast; without a pause the client would flood the daemon with retries.
      if (!answer.startsWith('2')) await sleep(100);
    }
  };
  const crowd = Promise.all(Array.from({ length: AT_ONCE }, one));
  return {
    stop: async () => {
      over = true;
      await crowd;
      agent.destroy();
      return JSON.stringify(answers);
    },
  };
}

/** Returns the status or the error. If a body is rejected before it is read, the client may see a broken pipe. */
function sendOnce(url: string, headers: Record<string, string>, load: Load, agent: Agent): Promise<string> {
  const { method, path, type, body } = load;
  const all = { ...headers, ...(body && { 'Content-Type': type, 'Content-Length': String(body.length) }) };
  return new Promise((resolve) => {
    const sent = send(`${url}${path}`, { method, headers: all, agent }, (answer) => {
      answer.resume();
      answer.on('close', () => resolve(String(answer.statusCode)));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end(body);
  });
}
