import { MARK, messages } from './dialogue.ts';
import { request } from './load.ts';
import { insertRows } from './plain-rows.ts';
import type { Figure } from './report.ts';
import { alternate, type Rates, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

const PART = 'append';
const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 64;
const PGBENCH_CLIENTS = 16;
const BATCH = 100;

/** Compares appends over HTTP, of one event with an Idempotency-Key and of 100 events per request, with pgbench inserting the same rows. */
export async function measureAppend(world: World): Promise<Figure[]> {
  const [one, two, express] = [await world.daemon('one'), await world.daemon('two'), await world.daemon('express')];
  const headers = await world.tenant('append');
  const [singles, batches] = [singlesOf(headers), batchesOf(headers)];
  const write =
    (urls: string[], requests: string[], connections = CLIENTS) =>
    (seconds: number) =>
      world.generator.rate({ urls, connections, seconds, requests }, '201');
  const rows = await insertRows(world, 'append', headers, false);
  const rowsAndKey = await insertRows(world, 'append', headers, true);
  const rates = await alternate(
    [
      { name: 'pgbench', run: (seconds) => world.pgbench.tps('rows', rows, PGBENCH_CLIENTS, seconds) },
      { name: 'pgbench+key', run: (seconds) => world.pgbench.tps('rows-key', rowsAndKey, PGBENCH_CLIENTS, seconds) },
      { name: 'thin', run: write([one.url], singles) },
      { name: 'express', run: write([express.url], singles) },
      { name: 'two', run: write([one.url, two.url], singles) },
      { name: 'batch', run: async (seconds) => BATCH * (await write([one.url], batches, 16)(seconds)) },
    ],
    ROUNDS,
    SECONDS,
  );
  return figures(rates);
}

const figures = (rates: Rates): Figure[] => [
  ratioFigure(rates, PART, 'append through the thin door ÷ pgbench inserting event and passage', 'thin', 'pgbench', { min: 0.8 }),
  ratioFigure(rates, PART, 'append through Express ÷ pgbench inserting event and passage', 'express', 'pgbench', { min: 0.45 }),
  ratioFigure(
    rates,
    PART,
    'append through the thin door ÷ pgbench inserting event, passage and idempotency row',
    'thin',
    'pgbench+key',
  ),
  ratioFigure(rates, PART, 'append on two daemons, one tenant ÷ on one', 'two', 'thin', { min: 1 }),
  ratioFigure(rates, PART, 'rows in batches of 100 ÷ pgbench inserting event and passage', 'batch', 'pgbench', { min: 2.5 }),
];

/** Appends single events and batches, for two seconds each. */
export async function measureLoad(world: World): Promise<void> {
  const { url } = await world.daemon('one');
  const headers = await world.tenant('append');
  for (const requests of [singlesOf(headers), batchesOf(headers)])
    await world.generator.rate({ urls: [url], connections: CLIENTS, seconds: SECONDS, requests }, '201');
}

const keyed = (headers: Record<string, string>) => ({ ...headers, 'Idempotency-Key': `key-${MARK}` });
const singlesOf = (headers: Record<string, string>) =>
  messages.map((message) => request('POST', '/v1/events', keyed(headers), message));
const batchesOf = (headers: Record<string, string>) => [
  request('POST', '/v1/events', keyed(headers), {
    events: Array.from({ length: BATCH }, (_, i) => messages[i % messages.length]),
  }),
];
