import { setTimeout as sleep } from 'node:timers/promises';

// A server that starts, restarts or moves refuses or is not found for a while: what is worth trying again.
const transientCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  '57P01',
  '57P03',
]);
const RETRY_MS = 1000;

/** Connects, for `patience_ms` again and again while the database cannot be reached or is starting; any other error is thrown at once. */
export async function connectWithRetry<T>(
  connect: () => Promise<T>,
  patience_ms: number,
  tell: (sentence: string) => void,
): Promise<T> {
  const deadline = Date.now() + patience_ms;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      const { code = '', message } = error as Error & { code?: string };
      const passes = transientCodes.has(code) || /timeout expired|terminated unexpectedly/.test(message);
      if (!passes || Date.now() >= deadline) throw error;
      tell(`waiting for the database: ${message || code}`);
      await sleep(RETRY_MS);
    }
  }
}
