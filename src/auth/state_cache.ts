import { LRUCache } from 'lru-cache';

/** Caches the states of credentials for a short time. Concurrent requests with the same unknown credential share one query. */
export interface StateCache<S extends object> {
  get(key: string, load: () => Promise<S | undefined>): Promise<S | undefined>;
  /** Queries the database even if the state is cached. */
  reload(key: string, load: () => Promise<S | undefined>): Promise<S | undefined>;
  /** Drops all entries whose key starts with the prefix. */
  invalidate(prefix: string): void;
}

const NEGATIVE_TTL_MS = 2000;

export function openStateCache<S extends object>(ttl_ms: number): StateCache<S> {
  // lru-cache treats a ttl of 0 as unlimited
  const known = new LRUCache<string, S>({ max: 20_000, ttl: Math.max(1, ttl_ms) });
  // a separate cache, so that invented credentials cannot evict valid ones
  const refused = new LRUCache<string, true>({ max: 5_000, ttl: Math.max(1, Math.min(ttl_ms, NEGATIVE_TTL_MS)) });
  const loading = new Map<string, Promise<S | undefined>>();
  // a result that was queried before an invalidation must not be cached after it
  let epoch = 0;

  const reload = (key: string, load: () => Promise<S | undefined>) => {
    const running = loading.get(key);
    if (running) return running;
    const started = epoch;
    const answer = load().then((state) => {
      if (started === epoch) state ? known.set(key, state) : refused.set(key, true);
      return state;
    });
    loading.set(key, answer);
    const remove = () => void (loading.get(key) === answer && loading.delete(key));
    answer.then(remove, remove);
    return answer;
  };
  return {
    get: async (key, load) => known.get(key) ?? (refused.has(key) ? undefined : reload(key, load)),
    reload,
    invalidate: (prefix) => {
      epoch += 1;
      loading.clear();
      for (const key of known.keys()) if (key.startsWith(prefix)) known.delete(key);
      for (const key of refused.keys()) if (key.startsWith(prefix)) refused.delete(key);
    },
  };
}
