import { z } from 'zod';
import { duration, flag, optional, setting, whole } from './setting_types.ts';

// Settings of the group "Models"; src/settings.ts includes them. The defaults of the batch, the retries, the cache and the circuit breaker are those
// of the context-manager guide.

/** User information in a URL is refused, because URLs appear in logs. */
const endpointUrl = z
  .url({ protocol: /^https?$/, error: 'an http:// or https:// URL' })
  .refine((text) => !URL.canParse(text) || new URL(text).username + new URL(text).password === '', 'a URL without credentials');

export const modelSettings = {
  EMBEDDINGS_URL: optional(
    endpointUrl,
    'Models',
    'OpenAI-compatible endpoint that embeds passages and queries, such as `http://localhost:11434/v1`; `/embeddings` is added if absent. Without it, search uses no embeddings',
  ),
  EMBEDDINGS_API_KEY: optional(z.string().min(1), 'Models', 'bearer token for EMBEDDINGS_URL'),
  EMBEDDINGS_MODEL: optional(
    z.string().min(1).max(200),
    'Models',
    'name of the embedding model; required with EMBEDDINGS_URL. After a change, all passages are embedded again',
  ),
  EMBEDDINGS_DIMENSION: optional(
    whole(1, 4096),
    'Models',
    'length of the vectors of EMBEDDINGS_MODEL; required with EMBEDDINGS_URL. Answers with another length are rejected',
  ),
  EMBEDDINGS_PREVIOUS_MODEL: optional(
    z.string().min(1).max(200),
    'Models',
    'model that EMBEDDINGS_MODEL replaces, at the same endpoint; its vectors are used for passages that the new model has not embedded yet',
  ),
  EMBEDDINGS_PREVIOUS_DIMENSION: optional(
    whole(1, 4096),
    'Models',
    'length of the vectors of EMBEDDINGS_PREVIOUS_MODEL; the default is EMBEDDINGS_DIMENSION',
  ),
  EMBEDDINGS_QUERY_PREFIX: setting(
    z.string().max(1000),
    '',
    'Models',
    'text that the model expects before a query, such as `query: ` for the E5 models',
  ),
  EMBEDDINGS_PASSAGE_PREFIX: setting(
    z.string().max(1000),
    '',
    'Models',
    'text that the model expects before a passage, such as `passage: ` for the E5 models',
  ),
  EMBEDDINGS_BATCH_SIZE: setting(whole(1, 512), '32', 'Models', 'number of passages per request'),
  EMBEDDINGS_TIMEOUT_MS: setting(whole(100, 600_000), '30000', 'Models', 'time in ms that a request with passages may take'),
  EMBEDDINGS_QUERY_TIMEOUT_MS: setting(
    whole(10, 60_000),
    '500',
    'Models',
    'time in ms that a search waits for the embedding of its query; after it, the search continues without and reports `embeddings` in `degraded`',
  ),
  EMBEDDINGS_MAX_RETRIES: setting(
    whole(0, 20),
    '3',
    'Models',
    'number of retries of a request with passages, after a random delay that doubles or the time that the endpoint requests with Retry-After',
  ),
  EMBEDDINGS_CACHE_SIZE: setting(whole(0, 1_000_000), '10000', 'Models', 'maximum number of vectors in the cache; 0 disables it'),
  EMBEDDINGS_CACHE_TTL: setting(duration, '1h', 'Models', 'time after which a cached vector expires'),
  RERANK_URL: optional(
    endpointUrl,
    'Models',
    'endpoint that reranks the best hits, in the protocol of Cohere and Jina, such as `http://localhost:8080/rerank`; `/rerank` is added if absent',
  ),
  RERANK_API_KEY: optional(z.string().min(1), 'Models', 'bearer token for RERANK_URL'),
  RERANK_MODEL: optional(z.string().min(1).max(200), 'Models', 'name of the reranking model, if the endpoint requires one'),
  RERANK_TOP: setting(whole(2, 200), '50', 'Models', 'number of hits that are reranked'),
  RERANK_TIMEOUT_MS: setting(
    whole(10, 60_000),
    '1000',
    'Models',
    'time in ms that a search waits for RERANK_URL; after it, the order stays and the answer reports `rerank` in `degraded`',
  ),
  MODEL_TLS_VERIFY: setting(flag, 'true', 'Models', 'verify the certificates of EMBEDDINGS_URL and RERANK_URL'),
  MODEL_CA_FILE: optional(
    z.string().min(1),
    'Models',
    'file with the certificate authority of EMBEDDINGS_URL and RERANK_URL; replaces those of Node.js',
  ),
  BREAKER_FAILURE_THRESHOLD: setting(
    whole(1, 1000),
    '5',
    'Models',
    'number of failures within BREAKER_WINDOW_MS after which the circuit breaker of an endpoint opens: requests then fail at once',
  ),
  BREAKER_WINDOW_MS: setting(whole(100, 3_600_000), '60000', 'Models', 'time in ms for which a failure counts'),
  BREAKER_TIMEOUT_MS: setting(
    whole(100, 3_600_000),
    '60000',
    'Models',
    'time in ms after which an open circuit breaker lets one request through',
  ),
  BREAKER_SUCCESS_THRESHOLD: setting(
    whole(1, 1000),
    '2',
    'Models',
    'number of successes in a row after which the circuit breaker is closed; an earlier failure opens it again',
  ),
};
