import type pg from 'pg';

export interface PoolObserver {
  /** `seconds`: from sending a statement to the end of its answer. */
  answered(seconds: number): void;
  connected(success: boolean): void;
}

/** Times the statements of a connection whose answer is a promise, which includes waiting for earlier ones of a pipeline. */
export function observeStatements(client: pg.PoolClient, answered: (seconds: number) => void): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  client.query = ((...args: unknown[]) => {
    const begun = performance.now();
    const answer = query(...args);
    const done = () => answered((performance.now() - begun) / 1000);
    if (answer instanceof Promise) answer.then(done, done);
    return answer;
  }) as typeof client.query;
}
