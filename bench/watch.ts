import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { messages } from './dialogue.ts';
import type { Figure } from './report.ts';
import { quantile } from './rounds.ts';
import type { World } from './world.ts';

const FOLLOWERS = 100;
const EVENTS = 200;
const EVERY_MS = 50;

/** Measures the time from sending an event until each of 100 followers has received it: on the daemon that wrote it, and on another. */
export async function measureWatch(world: World): Promise<Figure[]> {
  const [one, two] = [await world.daemon('one'), await world.daemon('two')];
  const headers = await world.tenant('watch');
  const figure = async (url: string, name: string): Promise<Figure> => {
    const lags = await follow(url, one.url, headers);
    const note = `p50 ${quantile(lags, 0.5).toFixed(1)} ms, max ${quantile(lags, 1).toFixed(1)} ms, ${lags.length} deliveries`;
    return { part: 'watch', name, value: quantile(lags, 0.95), unit: 'ms', goal: { max: 50 }, note };
  };
  return [
    await figure(one.url, `watch lag p95, ${FOLLOWERS} followers, from sending the write`),
    await figure(two.url, `watch lag p95, ${FOLLOWERS} followers on another daemon, from sending the write`),
  ];
}

async function follow(url: string, writer: string, headers: Record<string, string>): Promise<number[]> {
  const sent = new Map<string, number>();
  const lags: number[] = [];
  const deliver = (text: string) => {
    for (const [, name] of text.matchAll(/"session_id":"(lag-[^"]+)"/g)) lags.push(performance.now() - sent.get(name!)!);
  };
  const streams = await Promise.all(
    Array.from({ length: FOLLOWERS }, () => openStream(`${url}/v1/events?channel=team`, headers, deliver)),
  );
  for (let i = 0; i < EVENTS; i += 1) {
    const session_id = `lag-${url}-${i}`;
    sent.set(session_id, performance.now());
    const answer = await fetch(`${writer}/v1/events`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...messages[i % messages.length], session_id }),
    });
    if (answer.status !== 201) throw new Error(await answer.text());
    await answer.arrayBuffer();
    await sleep(EVERY_MS);
  }
  await sleep(1500);
  for (const close of streams) close();
  if (lags.length !== FOLLOWERS * EVENTS) throw new Error(`${lags.length} deliveries instead of ${FOLLOWERS * EVENTS}`);
  return lags;
}

/** Opens a stream of server-sent events, and returns a function that closes it. `deliver` gets the text of whole messages. */
export function openStream(url: string, headers: Record<string, string>, deliver: (text: string) => void): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const stream = get(url, { headers: { ...headers, Accept: 'text/event-stream' }, agent: false }, (res) => {
      if (res.statusCode !== 200) reject(new Error(`following: ${res.statusCode}`));
      let rest = '';
      res.setEncoding('utf8').on('data', (chunk: string) => {
        const end = (rest + chunk).lastIndexOf('\n\n');
        if (end < 0) rest += chunk;
        else {
          deliver((rest + chunk).slice(0, end));
          rest = (rest + chunk).slice(end + 2);
        }
      });
      res.once('data', () => resolve(() => stream.destroy()));
    }).on('error', (error) => reject(error));
  });
}
