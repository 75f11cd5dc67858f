import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, delayBefore, isFinal, problemOf, type Transport } from './transport.ts';

// Follows the kills of an agent: by the event stream, or by looking at its state if the key may not read events.

interface Needs {
  agentId: string;
  transport: Transport;
  signal: AbortSignal;
  pollMs: number;
  /** Called at each kill that is noticed, also more than once for the same. */
  killed(reason: string): void;
  error(error: Error): void;
}

/** The service sends something every 15 s. */
const MAX_SILENCE_MS = 45_000;
const MAX_LINE = 1_048_576;
const KILLED = 'the agent is killed';

/** Follows until `signal` is aborted. Calls `ready` when no later kill can be missed. Throws if the service rejects the first request. */
export async function followKills(needs: Needs, ready: () => void): Promise<void> {
  const { signal, error } = needs;
  let streams = true;
  let isReady = false;
  const begun = () => {
    isReady = true;
    ready();
  };
  for (let failures = 0; !signal.aborted; ) {
    try {
      if (streams) streams = await readStream(needs, begun);
      else {
        await look(needs);
        begun();
      }
      failures = 0;
    } catch (thrown) {
      if (signal.aborted) return;
      if (!isReady && isFinal(thrown)) throw thrown;
      failures += 1;
      error(thrown as Error);
    }
    const delay = failures > 0 ? delayBefore(failures) : streams ? delayBefore(1) : needs.pollMs;
    // rejects only if the signal is aborted
    await sleep(delay, undefined, { signal }).catch(() => undefined);
  }
}

/** Reads the state of the agent. */
async function look({ agentId, transport, signal, killed }: Needs): Promise<void> {
  const answer = await transport.send('GET', `/v1/agents/${encodeURIComponent(agentId)}`, undefined, signal);
  if (answer.status === 403 && answer.body.code === 'AGENT_KILLED') return killed(KILLED);
  if (answer.status !== 200) throw problemOf(answer);
  if (answer.body.state === 'killed') killed(String(answer.body.reason ?? KILLED));
}

/** Reads the stream until it ends. Returns false if the key may not read events. */
async function readStream(needs: Needs, ready: () => void): Promise<boolean> {
  const silence = new AbortController();
  const signal = AbortSignal.any([needs.signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
  try {
    const response = await needs.transport.open('/v1/events?channel=team&kind=agent.killed', signal);
    if (response.status !== 200) {
      const answer = await answerOf(response);
      if (answer.status !== 403) throw problemOf(answer);
      if (answer.body.code !== 'AGENT_KILLED') return false;
      needs.killed(KILLED);
      // a bound key can follow again after the resurrection; until then no other kill is possible
      ready();
      return true;
    }
    // after the stream has begun, so that a kill is in one of the two
    await look(needs);
    ready();
    for await (const line of linesOf(response)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
      if (line.startsWith('data: ')) report(needs, line.slice(6));
    }
    return true;
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  let rest = '';
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) throw new Error('a line of the event stream is too long');
    yield* lines;
  }
}

function report({ agentId, killed }: Needs, data: string): void {
  const { content } = JSON.parse(data) as { content?: { agent_id?: string; reason?: string } };
  if (content?.agent_id === agentId || content?.agent_id === '*') killed(content.reason ?? KILLED);
}
