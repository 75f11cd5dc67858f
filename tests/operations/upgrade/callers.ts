import { Agent, request } from 'node:http';
import { newName, PASSWORD } from '../../support/client.ts';

// Callers that treat two daemons as nginx does (nginx/): they keep connections open, stop using a daemon that reports not ready, and use the other
// one after a refused connection or a 503. A connection that breaks during a request counts as a failure, because the request may have been
// executed.

interface Reply {
  status: number;
  body: any;
}

export interface Caller {
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  as(token: string): Caller;
}

const ASK_MS = 20_000;
const LOOK_MS = 250;

export interface Balancer {
  /** Daemons in order of preference. */
  order(): string[];
  stop(): void;
}

export function balance(urls: string[]): Balancer {
  const ready = new Set(urls);
  let turn = 0;
  const look = async (url: string) => {
    const { ok } = await fetch(`${url}/ready`).catch(() => ({ ok: false }));
    if (ok) ready.add(url);
    else ready.delete(url);
  };
  const timer = setInterval(() => urls.forEach((url) => void look(url)), LOOK_MS);
  const order = () => {
    turn += 1;
    const turned = urls.map((_, i) => urls[(turn + i) % urls.length]!);
    return turned.sort((a, b) => Number(ready.has(b)) - Number(ready.has(a)));
  };
  return { order, stop: () => clearInterval(timer) };
}

export function callerOf(order: () => string[], token?: string, agent = new Agent({ keepAlive: true, maxSockets: 32 })): Caller {
  const send: Caller['request'] = async (method, path, body, headers = {}) => {
    const all = { ...headers, ...(token && { authorization: `Bearer ${token}` }) };
    let last: Outcome = {};
    for (const url of order()) {
      last = await once(agent, url + path, method, body, all);
      if (last.fault?.code !== 'ECONNREFUSED' && last.reply?.status !== 503) break;
    }
    if (!last.reply) throw new Error(`${method} ${path}: ${last.fault?.code ?? ''} ${last.fault?.message}`);
    return last.reply;
  };
  return { request: send, as: (other) => callerOf(order, other, agent) };
}

interface Outcome {
  reply?: Reply;
  fault?: NodeJS.ErrnoException;
}

function once(agent: Agent, url: string, method: string, body: unknown, headers: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const fail = (fault: Error) => resolve({ fault });
    const options = { method, agent, timeout: ASK_MS, headers: { 'content-type': 'application/json', ...headers } };
    const req = request(url, options, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      res.on('end', () => resolve({ reply: { status: res.statusCode!, body: text.startsWith('{') ? JSON.parse(text) : text } }));
      res.on('error', fail);
    });
    req.on('timeout', () => req.destroy(new Error('no answer in time')));
    req.on('error', fail);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const words = (text: string) => ({
  session_id: 's1',
  channel: 'team',
  actor: { type: 'human', id: 'alice' },
  kind: 'message',
  content: { text },
});

export async function register(caller: Caller): Promise<{ caller: Caller; tenant_id: string }> {
  const tenant_id = newName('t');
  const login = { tenant_id, username: 'alice', password: PASSWORD };
  const made = await caller.request('POST', '/auth/register', login);
  expect([made.status, made.body]).toEqual([201, expect.anything()]);
  const again = await caller.request('POST', '/auth/login', login);
  expect(again.status).toBe(200);
  return { caller: caller.as(again.body.access_token), tenant_id };
}

/** Does everything that a client does. `mark` is a unique word that is searched for. */
export async function tour(caller: Caller, mark: string): Promise<void> {
  const said = `The reactor ${mark} is cooled with water from the river.`;
  const recorded = await caller.request('POST', '/v1/events', words(said), { 'idempotency-key': `key-${mark}` });
  expect([recorded.status, recorded.body]).toEqual([201, expect.objectContaining({ event_id: expect.any(String) })]);
  const repeated = await caller.request('POST', '/v1/events', words(said), { 'idempotency-key': `key-${mark}` });
  expect(repeated.body.event_id).toBe(recorded.body.event_id);
  const decided = { ...words(''), kind: 'decision', content: { decision: `Cool ${mark} twice`, rationale: ['it is warm'] } };
  expect((await caller.request('POST', '/v1/events', decided)).status).toBe(201);
  await finds(caller, mark);
  const listed = await caller.request('GET', `/v1/events/${recorded.body.event_id}`);
  expect([listed.status, listed.body.content]).toEqual([200, { text: said }]);
}

export async function finds(caller: Caller, mark: string): Promise<void> {
  const found = await caller.request('POST', '/v1/search', { query: `How is ${mark} cooled?`, channel: 'team' });
  expect([found.status, JSON.stringify(found.body)]).toEqual([200, expect.stringContaining(mark)]);
  const asked = { session_id: 's2', channel: 'team', query_text: `How is ${mark} cooled?`, max_tokens: 2000 };
  const context = await caller.request('POST', '/v1/context?render=text', asked);
  expect([context.status, context.body.text]).toEqual([200, expect.stringContaining(`Cool ${mark} twice`)]);
}

export interface Load {
  /** Ids of acknowledged events, and responses that a client does not expect. */
  acknowledged: string[];
  failures: string[];
  requests(): number;
  stop(): Promise<void>;
}

const WORKERS = 4;
const PAUSE_MS = 15;

/** Continuous load until stopped: events, and between them searches, contexts and lists. */
export function startLoad(caller: Caller): Load {
  const [acknowledged, failures]: [string[], string[]] = [[], []];
  let [stopped, count] = [false, 0];
  const one = async (worker: number, n: number) => {
    count += 1;
    const text = `load ${worker} of ${n}`;
    if (n % 10 === 7) return expectStatus(200, await caller.request('POST', '/v1/search', { query: text, channel: 'team' }));
    if (n % 10 === 8)
      return expectStatus(
        200,
        await caller.request('POST', '/v1/context', { session_id: 's', channel: 'team', query_text: text }),
      );
    if (n % 10 === 9) return expectStatus(200, await caller.request('GET', '/v1/events?limit=5'));
    const { body } = expectStatus(201, await caller.request('POST', '/v1/events', words(text)));
    acknowledged.push(body.event_id);
  };
  const work = async (worker: number) => {
    for (let n = 0; !stopped; n += 1) {
      await one(worker, n).catch((error: Error) => failures.push(String(error)));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const running = Array.from({ length: WORKERS }, (_, worker) => work(worker));
  const stop = async () => {
    stopped = true;
    await Promise.all(running);
  };
  return { acknowledged, failures, requests: () => count, stop };
}

function expectStatus(status: number, reply: Reply): Reply {
  if (reply.status !== status) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`);
  return reply;
}

/** Returns the log: the seqs in order, with their ids. */
export async function readLog(caller: Caller): Promise<{ seqs: number[]; ids: Set<string> }> {
  const [seqs, ids]: [number[], Set<string>] = [[], new Set()];
  for (let after = 0; ; ) {
    const { status, body } = await caller.request('GET', `/v1/events?order=asc&limit=1000&after=${after}`);
    expect(status).toBe(200);
    for (const { seq, event_id } of body.data) {
      seqs.push(seq);
      ids.add(event_id);
    }
    if (body.data.length === 0) return { seqs, ids };
    after = seqs.at(-1)!;
  }
}
