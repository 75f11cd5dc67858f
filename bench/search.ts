import { request } from './load.ts';
import type { Figure } from './report.ts';
import { quantile } from './rounds.ts';
import { loadTenants, questions, SIZES } from './tenants.ts';
import type { World } from './world.ts';

const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 2;
const QUESTIONS = 200;

type Size = keyof typeof SIZES;
const sizes = Object.keys(SIZES) as Size[];

/** Upper limits: p95 in ms of search and context, and search p95 at 10⁶ ÷ at 10⁴ passages. */
interface Goals {
  search?: number;
  context: number;
  growth: number;
}

export async function measureSearch(world: World): Promise<Figure[]> {
  await loadTenants(world);
  return measureLatencies(world, 'search', { context: 100, growth: 2 });
}

/** Measures search and context over HTTP with two clients, for the loaded tenants of 10⁴, 10⁵ and 10⁶ passages. */
export async function measureLatencies(world: World, part: string, goals: Goals): Promise<Figure[]> {
  const asked = await questions(world, QUESTIONS);
  const search = await measure(world, (headers) =>
    asked.map((query) => request('POST', '/v1/search', headers, { query, limit: 10 })),
  );
  const context = await measure(world, (headers) =>
    asked.map((query_text, i) =>
      request('POST', '/v1/context', headers, { session_id: `s${i}`, channel: 'private', query_text, max_tokens: 8000 }),
    ),
  );
  return [
    ...sizes.map((size) => figureOf('search', size, search[size], goals.search)),
    growth(search, goals.growth),
    ...sizes.map((size) => figureOf('context of 8,000 tokens', size, context[size], goals.context)),
  ].map((figure) => ({ part, ...figure }));
}

type PartFigure = Omit<Figure, 'part'>;

const figureOf = (name: string, size: Size, latencies: number[], max?: number): PartFigure => ({
  name: `${name} p95, ${SIZES[size].toLocaleString('en')} chunks`,
  value: quantile(latencies, 0.95),
  unit: 'ms',
  ...(max !== undefined && { goal: { max } }),
  note: `p50 ${quantile(latencies, 0.5).toFixed(1)} ms, p99 ${quantile(latencies, 0.99).toFixed(1)} ms, ${latencies.length} requests`,
});

const growth = (search: Record<Size, number[]>, max: number): PartFigure => ({
  name: 'search p95 at 10⁶ ÷ at 10⁴',
  value: quantile(search.t6, 0.95) / quantile(search.t4, 0.95),
  unit: '',
  goal: { max },
});

/** Returns all latencies by size, from rounds that alternate between the sizes. */
async function measure(world: World, requestsOf: (headers: Record<string, string>) => string[]): Promise<Record<Size, number[]>> {
  const { url } = await world.daemon('one');
  const latencies: Record<Size, number[]> = { t4: [], t5: [], t6: [] };
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const size of round % 2 === 0 ? sizes : sizes.toReversed()) {
      const requests = requestsOf(await world.tenant(size));
      const result = await world.generator.run({ urls: [url], connections: CLIENTS, seconds: SECONDS, requests });
      if (Object.keys(result.statuses).join() !== '200')
        throw new Error(`unexpected statuses: ${JSON.stringify(result.statuses)}`);
      // The first round is a warm-up.
      if (round >= 0) latencies[size].push(...result.latencies);
    }
  }
  return latencies;
}
