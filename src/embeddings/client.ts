import { createHash } from 'node:crypto';
import { DelegateBackoff, handleWhen, retry } from 'cockatiel';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Config } from '../config.ts';
import { type Breaker, withinTime } from './breaker.ts';
import { type Endpoint, EndpointError } from './endpoint.ts';
import { type Vector, vectorOf } from './vector.ts';

// Embeds texts by an OpenAI-compatible endpoint, with a cache, retries and a circuit breaker.

export interface Model {
  name: string;
  dimension: number;
  /** The name of its vectors in the database. */
  key: string;
}

export interface EmbeddingClient {
  /** Returns the vector of a query: one attempt. Throws if it fails or takes longer than EMBEDDINGS_QUERY_TIMEOUT_MS. */
  query(model: Model, tenant_id: string, text: string): Promise<Vector>;
  /** Returns the vectors of passages, with retries; null for a text that the endpoint refuses. */
  passages(model: Model, tenant_id: string, texts: string[], signal: AbortSignal): Promise<(Vector | null)[]>;
  cache(): { hits: number; misses: number };
}

export type ClientConfig = Pick<
  Config,
  | 'EMBEDDINGS_QUERY_PREFIX'
  | 'EMBEDDINGS_PASSAGE_PREFIX'
  | 'EMBEDDINGS_TIMEOUT_MS'
  | 'EMBEDDINGS_QUERY_TIMEOUT_MS'
  | 'EMBEDDINGS_MAX_RETRIES'
  | 'EMBEDDINGS_CACHE_SIZE'
  | 'EMBEDDINGS_CACHE_TTL'
>;

/** Queries and passages have a circuit breaker each, and no vector in common: a text of the log must not stop or answer a search. */
export type Purpose = 'query' | 'passages';

/** Called after each request. */
export type OnRequest = (purpose: Purpose, outcome: 'ok' | 'failed', ms: number) => void;

/** A number takes at most 25 characters in JSON; the rest is for spaces and the other fields. */
const BYTES_PER_COMPONENT = 32;
const BYTES_BESIDE = 65_536;
/** A longer query is cut: models read a few hundred tokens. */
const MAX_QUERY_CHARACTERS = 2_000;
/** Longest wait that an endpoint may request; after a request for a longer one, the attempt fails at once. */
const MAX_RETRY_AFTER_MS = 60_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 20_000;

const answer = z.object({ data: z.array(z.object({ index: z.int().optional(), embedding: z.unknown() })) });

export function openClient(
  config: ClientConfig,
  endpoint: Endpoint,
  breakers: Record<Purpose, Breaker>,
  onRequest: OnRequest,
): EmbeddingClient {
  const cache = openCache(config);
  const retries = retry(
    handleWhen((error) => error instanceof EndpointError && isWorthRetrying(error)),
    {
      maxAttempts: config.EMBEDDINGS_MAX_RETRIES,
      backoff: new DelegateBackoff(({ attempt, result }) => retryDelay(attempt, (result as { error?: EndpointError }).error)),
    },
  );

  async function request(model: Model, texts: string[], purpose: Purpose, signal?: AbortSignal): Promise<Vector[]> {
    const timeout_ms = purpose === 'query' ? config.EMBEDDINGS_QUERY_TIMEOUT_MS : config.EMBEDDINGS_TIMEOUT_MS;
    const maxBytes = texts.length * model.dimension * BYTES_PER_COMPONENT + BYTES_BESIDE;
    const began = performance.now();
    let outcome: 'ok' | 'failed' = 'failed';
    try {
      const body = { model: model.name, input: texts, encoding_format: 'float' };
      const vectors = vectorsIn(await endpoint.post(body, maxBytes, timeout_ms, signal), texts.length, model.dimension);
      outcome = 'ok';
      return vectors;
    } finally {
      onRequest(purpose, outcome, performance.now() - began);
    }
  }

  /** One failure for the breaker, after its retries. If the endpoint then accepts another text, the texts count as refused. */
  const send = (model: Model, texts: string[], signal: AbortSignal): Promise<Vector[]> =>
    breakers.passages.run(async () => {
      try {
        return await retries.execute(() => request(model, texts, 'passages', signal), signal);
      } catch (error) {
        if (!(error instanceof EndpointError) || !error.suspect) throw error;
        const refused = await request(model, [`${config.EMBEDDINGS_PASSAGE_PREFIX}test`], 'passages', signal).then(
          () => true,
          () => false,
        );
        throw new EndpointError(error.message, { refused });
      }
    });

  /** Halves a batch that is refused, to find the texts that are. */
  async function sendAccepted(model: Model, texts: string[], signal: AbortSignal): Promise<(Vector | null)[]> {
    try {
      return await send(model, texts, signal);
    } catch (error) {
      if (!(error instanceof EndpointError) || !error.refused) throw error;
      if (texts.length === 1) return [null];
      const half = Math.ceil(texts.length / 2);
      const first = await sendAccepted(model, texts.slice(0, half), signal);
      return [...first, ...(await sendAccepted(model, texts.slice(half), signal))];
    }
  }

  return {
    query: async (model, tenant_id, text) => {
      const sent = config.EMBEDDINGS_QUERY_PREFIX + text.slice(0, MAX_QUERY_CHARACTERS).toWellFormed();
      const key = keyOf('query', model, tenant_id, sent);
      const known = cache.get(key);
      if (known) return known;
      const asked = breakers.query.run(() => request(model, [sent], 'query'));
      const [vector] = await withinTime(asked, config.EMBEDDINGS_QUERY_TIMEOUT_MS);
      cache.set(key, vector!);
      return vector!;
    },
    passages: async (model, tenant_id, texts, signal) => {
      const sent = texts.map((text) => config.EMBEDDINGS_PASSAGE_PREFIX + text);
      const keys = sent.map((text) => keyOf('passages', model, tenant_id, text));
      const found = keys.map(cache.get);
      const missing = sent.filter((_, i) => !found[i]);
      const vectors = missing.length === 0 ? [] : await sendAccepted(model, missing, signal);
      const missingKeys = keys.filter((_, i) => !found[i]);
      for (const [i, vector] of vectors.entries()) if (vector) cache.set(missingKeys[i]!, vector);
      return found.map((vector) => vector ?? vectors.shift()!);
    },
    cache: cache.figures,
  };
}

const isWorthRetrying = ({ refused, retry_after_ms = 0 }: EndpointError) => !refused && retry_after_ms <= MAX_RETRY_AFTER_MS;

/** A random part of a delay that doubles ("full jitter"), or the time that the endpoint asked for with a little more. */
const retryDelay = (attempt: number, error: EndpointError | undefined): number =>
  error?.retry_after_ms === undefined
    ? Math.random() * Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1))
    : error.retry_after_ms + Math.random() * FIRST_RETRY_MS;

/** Returns the vectors of an answer in the order of the input. */
function vectorsIn(value: unknown, count: number, dimension: number): Vector[] {
  const parsed = answer.safeParse(value);
  if (!parsed.success) throw new EndpointError('the answer is not one of /v1/embeddings');
  const { data } = parsed.data;
  if (data.length !== count) throw new EndpointError(`the answer has ${data.length} vectors instead of ${count}`);
  const vectors = new Map(data.map(({ index, embedding }, i) => [index ?? i, vectorOf(embedding, dimension)]));
  return Array.from({ length: count }, (_, i) => {
    const vector = vectors.get(i);
    if (!vector) throw new EndpointError(`the answer has no vector for input ${i}`);
    return vector;
  });
}

/**
 * The key of a vector in the cache: a hash, so that the cache holds no text. Tenants share no entry, nor do queries and passages: the time of an answer
 * must not tell whether someone else has recorded or searched the text.
 */
const keyOf = (purpose: Purpose, { key }: Model, tenant_id: string, text: string): string =>
  createHash('sha256').update([purpose, key, tenant_id, text].join('\0')).digest('base64');

function openCache({ EMBEDDINGS_CACHE_SIZE: max, EMBEDDINGS_CACHE_TTL: ttl_s }: ClientConfig) {
  const vectors = max === 0 ? undefined : new LRUCache<string, Vector>({ max, ttl: ttl_s * 1000 });
  const figures = { hits: 0, misses: 0 };
  return {
    get: (key: string): Vector | undefined => {
      const found = vectors?.get(key);
      figures[found ? 'hits' : 'misses'] += 1;
      return found;
    },
    set: (key: string, vector: Vector) => void vectors?.set(key, vector),
    figures: () => figures,
  };
}
