import { LRUCache } from 'lru-cache';

/** What is known of credentials, for a short while. Many requests with one unknown credential ask the database once. */
export interface StateCache<S extends object> {
  get(key: string, load: () => Promise<S | undefined>): Promise<S | undefined>;
  /** Asks again although something is known. */
  renew(key: string, load: () => Promise<S | undefined>): Promise<S | undefined>;
  /** Drops everything whose key starts so. */
  invalidate(prefix: string): void;
}

const NEGATIVE_TTL_MS = 2000;

export function openStateCache<S extends object>(ttl_ms: number): StateCache<S> {
  // ttl 0 would mean for ever
  const known = new LRUCache<string, S>({ max: 20_000, ttl: Math.max(1, ttl_ms) });
  // Apart from the good ones, so that made-up credentials cannot push those out.
  const refused = new LRUCache<string, true>({ max: 5_000, ttl: Math.max(1, Math.min(ttl_ms, NEGATIVE_TTL_MS)) });
  const loading = new Map<string, Promise<S | undefined>>();
  // What was read before a change must not be kept after it.
  let epoch = 0;

  const renew = (key: string, load: () => Promise<S | undefined>) => {
    const running = loading.get(key);
    if (running) return running;
    const begun = epoch;
    const answer = load().then((state) => {
      if (begun === epoch) state ? known.set(key, state) : refused.set(key, true);
      return state;
    });
    loading.set(key, answer);
    const done = () => void (loading.get(key) === answer && loading.delete(key));
    answer.then(done, done);
    return answer;
  };
  return {
    get: async (key, load) => known.get(key) ?? (refused.has(key) ? undefined : renew(key, load)),
    renew,
    invalidate: (prefix) => {
      epoch += 1;
      loading.clear();
      for (const key of known.keys()) if (key.startsWith(prefix)) known.delete(key);
      for (const key of refused.keys()) if (key.startsWith(prefix)) refused.delete(key);
    },
  };
}
