import { startBareServer } from './bare.ts';
import { messages } from './dialogue.ts';
import { request } from './load.ts';
import type { Figure } from './report.ts';
import { alternate, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

const EVENTS = 2000;
const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 64;

/** Compares GET by id with a bare node:http server that reads the same row by pg, without authentication, row-level security or logging. */
export async function measureRead(world: World): Promise<Figure[]> {
  const [thin, express] = [await world.daemon('one'), await world.daemon('express')];
  const headers = await world.tenant('read');
  const ids = await writeEvents(thin.url, headers);
  const bare = await startBareServer(world, 'read');
  const read = (url: string) => {
    const requests = ids.map((id) => request('GET', `/v1/events/${id}`, headers));
    return (seconds: number) => world.generator.rate({ urls: [url], connections: CLIENTS, seconds, requests }, '200');
  };
  const rates = await alternate(
    [
      { name: 'bare', run: read(bare.url) },
      { name: 'thin', run: read(thin.url) },
      { name: 'express', run: read(express.url) },
    ],
    ROUNDS,
    SECONDS,
  );
  bare.stop();
  return [
    ratioFigure(rates, 'read', 'GET by id through the thin door ÷ bare node:http + pg', 'thin', 'bare', { min: 0.6 }),
    ratioFigure(rates, 'read', 'GET by id through Express ÷ bare node:http + pg', 'express', 'bare', { min: 0.33 }),
  ];
}

async function writeEvents(url: string, headers: Record<string, string>): Promise<string[]> {
  const answer = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify({ events: Array.from({ length: EVENTS / 2 }, (_, i) => messages[i % messages.length]) }),
  });
  const { data } = (await answer.json()) as { data: { event_id: string }[] };
  return data.map(({ event_id }) => event_id);
}
