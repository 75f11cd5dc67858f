import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics/index.ts';
import { isOpenError, openBreaker } from './breaker.ts';
import { type EmbeddingClient, type Model, openClient, type Purpose } from './client.ts';
import { openEndpoint } from './endpoint.ts';
import { openRerank, type Rerank } from './rerank.ts';
import type { Vector } from './vector.ts';

// The models that the operator has configured. A search uses them if they answer in time, and does without them otherwise.

/** The vector of a query. */
export interface QueryVector {
  model: string;
  vector: Vector;
}

/** The models as a search uses them. */
export interface Models {
  /** Embeds a query with the model, and with the previous one during a change. Null: the endpoint did not answer. Undefined: none is configured. */
  embedQuery: ((tenant_id: string, text: string) => Promise<QueryVector[] | null>) | undefined;
  /** Returns the order of the texts, best first, with the indexes of those that the endpoint kept. Null and undefined as above. */
  rerank: ((query: string, texts: string[]) => Promise<number[] | null>) | undefined;
  /** Number of hits to rerank. */
  rerank_top: number;
  /** The names of the configured models, as an answer states them. A reranker may have none: then it is its server's default. */
  names: { embeddings?: string; rerank?: string };
  /** The name of the vectors of passages in the database; undefined without EMBEDDINGS_URL. */
  vectors: string | undefined;
}

/** The settings that a worker needs for the models. */
export const remoteSettings = [
  'EMBEDDINGS_URL',
  'EMBEDDINGS_MODEL',
  'EMBEDDINGS_DIMENSION',
  'RERANK_URL',
  'RERANK_MODEL',
  'RERANK_TOP',
] as const;

export type RemoteConfig = Pick<Config, (typeof remoteSettings)[number]>;

const namesOf = ({ EMBEDDINGS_URL, EMBEDDINGS_MODEL, RERANK_URL, RERANK_MODEL }: RemoteConfig): Models['names'] => ({
  ...(EMBEDDINGS_URL !== undefined && { embeddings: EMBEDDINGS_MODEL! }),
  ...(RERANK_URL !== undefined && { rerank: RERANK_MODEL ?? 'default' }),
});

/** Vectors of another length are those of another model, because they cannot be compared. */
const keyOf = (name: string, dimension: number): string => `${name} ${dimension}`;

const vectorsOf = ({ EMBEDDINGS_URL, EMBEDDINGS_MODEL, EMBEDDINGS_DIMENSION }: RemoteConfig): string | undefined =>
  EMBEDDINGS_URL === undefined ? undefined : keyOf(EMBEDDINGS_MODEL!, EMBEDDINGS_DIMENSION!);

/** The services with which workers use the models of the main thread: its cache and its circuit breakers. */
export const modelServices = ({ embedQuery, rerank }: Models) => ({
  embedQuery: ({ tenant_id, text }: { tenant_id: string; text: string }) => embedQuery!(tenant_id, text),
  rerank: ({ query, texts }: { query: string; texts: string[] }) => rerank!(query, texts),
});

/** Returns the models for a worker. `ask` calls a service of the main thread. */
export const remoteModels = (config: RemoteConfig, ask: <T>(service: string, input: unknown) => Promise<T>): Models => ({
  embedQuery: config.EMBEDDINGS_URL === undefined ? undefined : (tenant_id, text) => ask('embedQuery', { tenant_id, text }),
  rerank: config.RERANK_URL === undefined ? undefined : (query, texts) => ask('rerank', { query, texts }),
  rerank_top: config.RERANK_TOP,
  names: namesOf(config),
  vectors: vectorsOf(config),
});

/** The models of the main thread. */
export interface OpenModels extends Models {
  /** The model that embeds passages, with its client, and the one that it replaces. */
  embedder: { model: Model; previous: Model[]; client: EmbeddingClient } | undefined;
  /** Closes the circuit breakers. */
  reset(): void;
  close(): void;
}

type MetricsOf = Pick<Metrics, 'counter' | 'histogram' | 'gauge' | 'total'>;

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function openModels(config: Config, metrics: MetricsOf, log: Logger): OpenModels {
  const { EMBEDDINGS_URL, RERANK_URL } = config;
  const embedding = openEmbedding(config, metrics, log);
  const reranking = openReranking(config, metrics, log);
  return {
    embedQuery: EMBEDDINGS_URL === undefined ? undefined : embedding?.embedQuery,
    rerank: RERANK_URL === undefined ? undefined : reranking?.rerank,
    rerank_top: config.RERANK_TOP,
    names: namesOf(config),
    vectors: vectorsOf(config),
    embedder: embedding?.embedder,
    reset: () => {
      for (const breaker of Object.values(embedding?.breakers ?? {})) breaker.reset();
      reranking?.breaker.reset();
    },
    close: () => {
      embedding?.endpoint.close();
      reranking?.endpoint.close();
    },
  };
}

function openEmbedding(config: Config, metrics: MetricsOf, log: Logger) {
  const seconds = metrics.histogram('embeddings_seconds', 'Duration of a request to EMBEDDINGS_URL', SECONDS);
  const requests = metrics.counter('embeddings_requests_total', 'Requests to EMBEDDINGS_URL', ['purpose', 'outcome']);
  for (const purpose of ['query', 'passages']) for (const outcome of ['ok', 'failed']) requests({ purpose, outcome }, 0);
  const { EMBEDDINGS_URL: url, EMBEDDINGS_API_KEY: key } = config;
  const opened = url === undefined ? undefined : openClientOf(url);
  metrics.gauge('embeddings_breaker_state', 'Circuit breaker of EMBEDDINGS_URL for queries: 0 closed, 1 open, 2 half-open', () =>
    opened?.breakers.query.state(),
  );
  metrics.gauge('embeddings_passages_breaker_state', 'Circuit breaker of EMBEDDINGS_URL for passages', () =>
    opened?.breakers.passages.state(),
  );
  const figures = () => opened?.client.cache() ?? { hits: 0, misses: 0 };
  metrics.total('embeddings_cache_hits_total', 'Vectors found in the cache', () => figures().hits);
  metrics.total('embeddings_cache_misses_total', 'Vectors not found in the cache', () => figures().misses);
  if (!opened) return undefined;
  const { client } = opened;
  const [model, ...previous] = modelsOf(config);
  return {
    ...opened,
    embedder: { model: model!, previous, client },
    embedQuery: async (tenant_id: string, text: string) => {
      const asked = [model!, ...previous].map(async (each) => ({
        model: each.key,
        vector: await client.query(each, tenant_id, text),
      }));
      return Promise.all(asked).catch((err: unknown) => unavailable(err, 'EMBEDDINGS_URL', log));
    },
  };

  function openClientOf(base: string) {
    const open = (purpose: Purpose) =>
      openBreaker(config, (err) => log.warn({ err, purpose }, 'the circuit breaker of EMBEDDINGS_URL is open'));
    const breakers = { query: open('query'), passages: open('passages') };
    const endpoint = openEndpoint(base, ['/embeddings', '/v1/embeddings'], key, config);
    const client = openClient(config, endpoint, breakers, (purpose, outcome, ms) => {
      requests({ purpose, outcome });
      seconds(ms / 1000);
    });
    return { breakers, endpoint, client };
  }
}

function modelsOf(config: Config): Model[] {
  const dimension = config.EMBEDDINGS_DIMENSION!;
  const { EMBEDDINGS_PREVIOUS_MODEL: previous, EMBEDDINGS_PREVIOUS_DIMENSION: previousDimension = dimension } = config;
  const current = modelOf(config.EMBEDDINGS_MODEL!, dimension);
  return previous === undefined ? [current] : [current, modelOf(previous, previousDimension)];
}

const modelOf = (name: string, dimension: number): Model => ({ name, dimension, key: keyOf(name, dimension) });

function openReranking(config: Config, metrics: MetricsOf, log: Logger) {
  const seconds = metrics.histogram('rerank_seconds', 'Duration of a request to RERANK_URL', SECONDS);
  const requests = metrics.counter('rerank_requests_total', 'Requests to RERANK_URL', ['outcome']);
  for (const outcome of ['ok', 'failed']) requests({ outcome }, 0);
  const { RERANK_URL: url, RERANK_API_KEY: key } = config;
  const opened = url === undefined ? undefined : openRerankOf(url);
  metrics.gauge('rerank_breaker_state', 'Circuit breaker of RERANK_URL: 0 closed, 1 open, 2 half-open', () =>
    opened?.breaker.state(),
  );
  if (!opened) return undefined;
  return {
    ...opened,
    rerank: async (query: string, texts: string[]) => {
      const began = performance.now();
      const order = await opened.ask(query, texts).catch((err: unknown) => unavailable(err, 'RERANK_URL', log));
      requests({ outcome: order === null ? 'failed' : 'ok' });
      seconds((performance.now() - began) / 1000);
      return order;
    },
  };

  function openRerankOf(base: string) {
    const breaker = openBreaker(config, (err) => log.warn({ err }, 'the circuit breaker of RERANK_URL is open'));
    const endpoint = openEndpoint(base, ['/rerank', '/rerank'], key, config);
    const ask: Rerank = openRerank(endpoint, breaker, config.RERANK_MODEL, config.RERANK_TIMEOUT_MS);
    return { breaker, endpoint, ask };
  }
}

/** Logs a failure. An open breaker was logged when it opened. */
function unavailable(err: unknown, name: string, log: Logger): null {
  if (!isOpenError(err)) log.debug({ err }, `${name} did not answer; the search continues without it`);
  return null;
}
