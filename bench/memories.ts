import { MARK, messages } from './dialogue.ts';
import { request } from './load.ts';
import type { Figure } from './report.ts';
import { alternate, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

const PART = 'memories';
const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 64;

/** Compares the cost of a memory with that of an event: the same unique texts, written as events and as new memories. */
export async function measureMemories(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const headers = { ...(await world.tenant('memories')), 'Idempotency-Key': `key-${MARK}` };
  const unique = messages.map((message) => ({ ...message, content: { text: `${message.content.text} ${MARK}` } }));
  const events = unique.map((message) => request('POST', '/v1/events', headers, message));
  const memories = unique.map(({ session_id, channel, content, actor }) =>
    request('POST', '/v1/memories', headers, { kind: 'note', text: content.text, session_id, channel, actor }),
  );
  const write = (requests: string[]) => (seconds: number) =>
    world.generator.rate({ urls: [url], connections: CLIENTS, seconds, requests }, '201');
  const rates = await alternate(
    [
      { name: 'event', run: write(events) },
      { name: 'memory', run: write(memories) },
    ],
    ROUNDS,
    SECONDS,
  );
  return [ratioFigure(rates, PART, 'time of a memory write ÷ event append', 'event', 'memory', { max: 1.3 })];
}
