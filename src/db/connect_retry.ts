import { setTimeout as sleep } from 'node:timers/promises';

// Errors while a server starts, restarts or moves; they are worth a retry.
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

/** Connects. Retries for `retry_ms` while the database cannot be reached or is starting; throws any other error at once. */
export async function connectWithRetry<T>(
  connect: () => Promise<T>,
  retry_ms: number,
  warn: (message: string) => void,
): Promise<T> {
  const deadline = Date.now() + retry_ms;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      const { code = '', message } = error as Error & { code?: string };
      const isTransient = transientCodes.has(code) || /timeout expired|terminated unexpectedly/.test(message);
      if (!isTransient || Date.now() >= deadline) throw error;
      warn(`waiting for the database: ${message || code}`);
      await sleep(RETRY_MS);
    }
  }
}
