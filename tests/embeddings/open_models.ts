import { loadConfig } from '../../src/config.ts';
import { type OpenModels, openModels } from '../../src/embeddings/index.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics/index.ts';
import { DIMENSION } from './model_server.ts';

const KEY = 'sk-very-secret';

/** Settings of both endpoints at a server of `startModelServer`. */
export const modelEnv = (url: string): Record<string, string> => ({
  EMBEDDINGS_URL: url,
  EMBEDDINGS_API_KEY: KEY,
  EMBEDDINGS_MODEL: 'model-a',
  EMBEDDINGS_DIMENSION: String(DIMENSION),
  EMBEDDINGS_QUERY_PREFIX: 'query: ',
  EMBEDDINGS_PASSAGE_PREFIX: 'passage: ',
  EMBEDDINGS_QUERY_TIMEOUT_MS: '20000',
  RERANK_URL: url,
  RERANK_TIMEOUT_MS: '20000',
});

interface Opened {
  models: OpenModels;
  /** Embeds passages. */
  embed(texts: string[], tenant_id?: string): Promise<(Int8Array | null)[]>;
  /** Returns the value of a metric. */
  figure(name: string): Promise<number>;
  /** The log lines so far. */
  lines: string[];
}

/** Opens the clients of both endpoints, without retries. */
export function openModelsAt(url: string, overrides: Record<string, string> = {}): Opened {
  const config = loadConfig({ ...modelEnv(url), EMBEDDINGS_MAX_RETRIES: '0', ...overrides });
  const metrics = createMetrics({ version: '0', engine: 'embedded' });
  const lines: string[] = [];
  const log = createLogger('trace', 'agent-memory', { write: (line: string) => void lines.push(line) });
  const models = openModels(config, metrics, log);
  const never = new AbortController().signal;
  return {
    models,
    embed: (texts, tenant_id = 'tnt_a') => models.embedder!.client.passages(models.embedder!.model, tenant_id, texts, never),
    figure: async (name) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(await metrics.text())?.[1]),
    lines,
  };
}
