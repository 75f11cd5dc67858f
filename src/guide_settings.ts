// Settings under the names of the context-manager guide. docs/guides/context-manager.md lists them.

const asIs = (value: string) => value;

/** The setting that each variable of the guide sets, and its value there. */
const aliases: Record<string, [setting: string, convert: (value: string) => string | undefined]> = {
  CHUTES_API_TOKEN: ['EMBEDDINGS_API_KEY', asIs],
  EMBEDDING__API_URL: ['EMBEDDINGS_URL', asIs],
  EMBEDDING__API_TOKEN: ['EMBEDDINGS_API_KEY', asIs],
  EMBEDDING__MODEL: ['EMBEDDINGS_MODEL', asIs],
  EMBEDDING__BATCH_SIZE: ['EMBEDDINGS_BATCH_SIZE', asIs],
  EMBEDDING__TIMEOUT_SECS: ['EMBEDDINGS_TIMEOUT_MS', (seconds) => String(Number(seconds) * 1000)],
  EMBEDDING__MAX_RETRIES: ['EMBEDDINGS_MAX_RETRIES', asIs],
  EMBEDDING__CACHE_SIZE: ['EMBEDDINGS_CACHE_SIZE', asIs],
  EMBEDDING__CACHE_TTL_SECS: ['EMBEDDINGS_CACHE_TTL', (seconds) => `${seconds}s`],
  EMBEDDING__CACHE_ENABLED: ['EMBEDDINGS_CACHE_SIZE', (enabled) => (enabled === 'false' ? '0' : undefined)],
  VECTOR_DB__VECTOR_SIZE: ['EMBEDDINGS_DIMENSION', asIs],
  HIRAG__L1_SIZE: ['CONTEXT_L1_SIZE', asIs],
  HIRAG__L2_SIZE: ['CONTEXT_L2_SIZE', asIs],
  HIRAG__MAX_CONTEXT_TOKENS: ['CONTEXT_MAX_TOKENS', asIs],
  HIRAG__RETRIEVAL_STRATEGY: ['CONTEXT_STRATEGY', (name) => name.toLowerCase()],
};

/** Returns the environment with the settings that the guide's variables set. A setting's own name takes precedence; of two aliases, the later one. */
export function withGuideNames(env: Record<string, string | undefined>): Record<string, string | undefined> {
  const values = Object.entries(aliases).flatMap(([alias, [setting, convert]]) => {
    const value = env[alias] ? convert(env[alias]) : undefined;
    return value === undefined || env[setting] || env[`${setting}_FILE`] ? [] : [[setting, value]];
  });
  return { ...env, ...Object.fromEntries(values) };
}
