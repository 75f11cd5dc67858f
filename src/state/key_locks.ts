// Lets the requests of this daemon that read, patch and write the same object take turns. Without it, of many concurrent patches each round would
// admit one, and the others would repeat their work. Correctness does not depend on it: the write compares the version (patches.ts).

export interface KeyLocks {
  /** Runs `work` once no earlier call holds any of the names. */
  run<T>(names: string[], work: () => Promise<T>): Promise<T>;
}

export function createKeyLocks(): KeyLocks {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run: async (names, work) => {
      const distinct = [...new Set(names)];
      // all at once, before anything is awaited: calls wait only for earlier ones, so they cannot deadlock
      const earlier = distinct.map((name) => tails.get(name));
      const result = Promise.all(earlier).then(work);
      const settled = result.catch(() => undefined);
      for (const name of distinct) tails.set(name, settled);
      await settled;
      for (const name of distinct) if (tails.get(name) === settled) tails.delete(name);
      return result;
    },
  };
}
