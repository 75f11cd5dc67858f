import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { baseUrl, expectAnswer, headersOf, request } from './api.ts';
import { STREAM_SECONDS } from './limits.ts';
import { type Operation, SLOTS } from './suites.ts';
import { excerpt, marker, prose, terms, toolName } from './words.ts';
import type { Agent, World } from './world.ts';

const BUDGET = 4000;
const TURNS_OF_A_SESSION = 10;

interface Turn {
  agent: Agent;
  session_id: string;
  slot: number;
  /** Checks of a single turn. */
  mark: string;
}

/** A turn of an agent: a human asks, the agent reads what it needs, calls a tool, records a decision, and reads what the others wrote. */
export function takeTurn(world: World, users: number): void {
  const count = exec.scenario.iterationInTest;
  const agent = world.agents[count % users]!;
  const round = Math.floor(count / users / TURNS_OF_A_SESSION);
  const slot = Math.min(SLOTS - 1, Math.floor(((Date.now() - world.started_at) / world.run_ms) * SLOTS));
  const turn: Turn = { agent, session_id: `${exec.scenario.name}-${agent.name}-${round}`, slot, mark: marker() };

  const asked = record(turn, 'message', { text: `${prose(3)} ${turn.mark}` }, 'human');
  if (!asked) return;
  think();
  context(turn, asked.event_id);
  const tool = toolName();
  record(turn, 'tool_call', { tool, arguments: { pattern: turn.mark } });
  think();
  record(turn, 'tool_result', { tool, excerpt_text: excerpt(60), path: 'src/parser.ts' }, 'tool');
  search(turn, asked.event_id);
  think();
  record(turn, 'decision', { decision: `${prose(1)} ${turn.mark}`, rationale: [prose(1)] });
  list(turn);
  follow(turn, asked);
}

const think = () => sleep(0.02 + Math.random() * 0.06);

interface Recorded {
  event_id: string;
  seq: number;
}
interface List<One> {
  data: One[];
}
interface Context {
  token_used: number;
  sections: { items: { refs: string[] }[] }[];
}

function record(turn: Turn, kind: Operation, content: Record<string, unknown>, actor = 'agent'): Recorded | undefined {
  const { agent, session_id, slot, mark } = turn;
  const body = {
    session_id,
    channel: 'team',
    actor: { type: actor, id: actor === 'human' ? agent.name : `${agent.name}-${actor}` },
    agent_id: agent.name,
    kind,
    content,
  };
  const response = request(kind, 'POST', '/v1/events', { token: agent.token, slot, body, key: `${mark}-${kind}` });
  const right = expectAnswer(
    kind,
    response,
    ({ event_id, seq }: Recorded) => event_id.startsWith('evt_') && Number.isInteger(seq),
  );
  return right ? (JSON.parse(response.body) as Recorded) : undefined;
}

/** The context contains the previous message and stays within its budget. */
function context({ agent, session_id, slot, mark }: Turn, event_id: string): void {
  const body = { session_id, channel: 'team', query_text: `${mark} ${prose(1)}`, agent_id: agent.name, max_tokens: BUDGET };
  const response = request('context', 'POST', '/v1/context', { token: agent.token, slot, body });
  expectAnswer('context', response, ({ token_used, sections }: Context) => {
    const refs = sections.flatMap(({ items }) => items.flatMap((item) => item.refs));
    return token_used <= BUDGET && refs.includes(event_id);
  });
}

/** A search for a unique word finds the event that contains it. */
function search({ agent, slot, mark }: Turn, event_id: string): void {
  const body = { query: `${mark} ${terms(2)}`, channel: 'team', limit: 10 };
  const response = request('search', 'POST', '/v1/search', { token: agent.token, slot, body });
  expectAnswer('search', response, ({ data }: List<Recorded>) => data.some((found) => found.event_id === event_id));
}

function list({ agent, session_id, slot }: Turn): void {
  const path = `/v1/events?channel=team&session_id=${session_id}&order=desc&limit=20`;
  const response = request('list', 'GET', path, { token: agent.token, slot });
  expectAnswer(
    'list',
    response,
    ({ data }: List<{ session_id: string }>) => data.length > 0 && data.every((one) => one.session_id === session_id),
  );
}

/**
 * Reads the log after the last seen seq, as a follower does when it reconnects: first its own message, then the rest without a gap. `followStream` tests
 * the SSE stream itself, because k6 provides a body only after the response has ended.
 */
function follow({ agent, slot }: Turn, asked: Recorded): void {
  const path = `/v1/events?channel=team&after=${asked.seq - 1}&limit=100`;
  const response = request('follow', 'GET', path, { token: agent.token, slot });
  expectAnswer('follow', response, ({ data }: List<Recorded>) => {
    const seqs = data.map((one) => one.seq);
    return seqs[0] === asked.seq && seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]!);
  });
}

/**
 * Keeps a stream of server-sent events open during the turns, so that the service serves followers while it is measured. k6 reads a body to its
 * end, so the stream ends by our timeout. `http_req_waiting` measures the time to the first byte; a stream that the service ends counts as a failure.
 */
export function keepStream(world: World): boolean {
  const left = world.started_at + world.run_ms - Date.now();
  if (left < 500) {
    sleep(Math.max(0.1, left / 1000));
    return true;
  }
  const { token } = world.agents[(exec.vu.idInTest * 7) % world.agents.length]!;
  try {
    const params = {
      headers: headersOf(token, { Accept: 'text/event-stream' }),
      tags: { operation: 'stream', name: 'stream', kind: 'stream' },
      timeout: Math.min(STREAM_SECONDS * 1000, left),
      // 0 means the timeout
      responseCallback: http.expectedStatuses(0),
      // our own timeout is not worth a log line
      throw: true,
    };
    const response = http.get(`${baseUrl}/v1/events?channel=team`, params);
    console.warn(`stream: ended by the service with ${response.status} ${String(response.body).slice(-300)}`);
    // pause after a rejection
    sleep(1);
    return false;
  } catch (error) {
    return String(error).includes('request timeout');
  }
}
