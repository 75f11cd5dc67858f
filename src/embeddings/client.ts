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
}

export interface EmbeddingClient {
  /** Returns the vector of a query: one attempt. Throws if it fails or takes longer than EMBEDDINGS_QUERY_TIMEOUT_MS. */
  query(model: Model, text: string): Promise<Vector>;
  /** Returns the vectors of passages, with retries; null for a text that the endpoint refuses. */
  passages(model: Model, texts: string[], signal: AbortSignal): Promise<(Vector | null)[]>;
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

/** Called after each request. */
export type OnRequest = (purpose: 'query' | 'passages', outcome: 'ok' | 'failed', ms: number) => void;

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

export function openClient(config: ClientConfig, endpoint: Endpoint, breaker: Breaker, onRequest: OnRequest): EmbeddingClient {
  const cache = openCache(config);
  const retries = retry(
    handleWhen((error) => error instanceof EndpointError && isWorthRetrying(error)),
    {
      maxAttempts: config.EMBEDDINGS_MAX_RETRIES,
      backoff: new DelegateBackoff(({ attempt, result }) => retryDelay(attempt, (result as { error?: EndpointError }).error)),
    },
  );

  async function request(model: Model, texts: string[], purpose: 'query' | 'passages', signal?: AbortSignal): Promise<Vector[]> {
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

  const send = (model: Model, texts: string[], signal: AbortSignal): Promise<Vector[]> =>
    retries.execute(() => breaker.run(() => request(model, texts, 'passages', signal)), signal);

  /** Halves a batch that is refused, to find the texts that are. A text counts as refused only if the endpoint accepts another one. */
  async function sendAccepted(model: Model, texts: string[], signal: AbortSignal): Promise<(Vector | null)[]> {
    try {
      return await send(model, texts, signal);
    } catch (error) {
      if (!(error instanceof EndpointError) || !error.refused) throw error;
      if (texts.length > 1) {
        const half = Math.ceil(texts.length / 2);
        const first = await sendAccepted(model, texts.slice(0, half), signal);
        return [...first, ...(await sendAccepted(model, texts.slice(half), signal))];
      }
      await send(model, [`${config.EMBEDDINGS_PASSAGE_PREFIX}test`], signal).catch(() => {
        throw new EndpointError(error.message);
      });
      return [null];
    }
  }

  return {
    query: async (model, text) => {
      const sent = config.EMBEDDINGS_QUERY_PREFIX + text.slice(0, MAX_QUERY_CHARACTERS).toWellFormed();
      const known = cache.get(model, sent);
      if (known) return known;
      const asked = breaker.run(() => request(model, [sent], 'query'));
      const [vector] = await withinTime(asked, config.EMBEDDINGS_QUERY_TIMEOUT_MS);
      cache.set(model, sent, vector!);
      return vector!;
    },
    passages: async (model, texts, signal) => {
      const sent = texts.map((text) => config.EMBEDDINGS_PASSAGE_PREFIX + text);
      const found = sent.map((text) => cache.get(model, text));
      const missing = sent.filter((_, i) => !found[i]);
      const vectors = missing.length === 0 ? [] : await sendAccepted(model, missing, signal);
      for (const [i, vector] of vectors.entries()) if (vector) cache.set(model, missing[i]!, vector);
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

/** A cache by the hash of the text, so that it holds no text. */
function openCache({ EMBEDDINGS_CACHE_SIZE: max, EMBEDDINGS_CACHE_TTL: ttl_s }: ClientConfig) {
  const vectors = max === 0 ? undefined : new LRUCache<string, Vector>({ max, ttl: ttl_s * 1000 });
  const figures = { hits: 0, misses: 0 };
  const keyOf = ({ name }: Model, text: string) => createHash('sha256').update(`${name}\0${text}`).digest('base64');
  return {
    get: (model: Model, text: string): Vector | undefined => {
      const found = vectors?.get(keyOf(model, text));
      figures[found ? 'hits' : 'misses'] += 1;
      return found;
    },
    set: (model: Model, text: string, vector: Vector) => void vectors?.set(keyOf(model, text), vector),
    figures: () => figures,
  };
}
