import type { ServerResponse } from 'node:http';
import { Problem } from './problem.ts';

/** Runs `work` with a signal that is aborted when the client disconnects or after `ms`, which also throws `unavailable`. */
export async function withTimeout<T>(
  ms: number,
  res: ServerResponse,
  work: (signalOf: () => AbortSignal) => Promise<T>,
): Promise<T> {
  // Created on demand, because few handlers use the signal: an AbortController and its abort cost a tenth of an append.
  let abort: AbortController | undefined;
  const onClose = () => abort?.abort();
  const signalOf = () => {
    if (abort) return abort.signal;
    abort = new AbortController();
    // the client may have disconnected already
    if (res.closed) abort.abort();
    else res.once('close', onClose);
    return abort.signal;
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    if (ms === 0) return await work(signalOf);
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => reject(timedOut(ms)), ms);
      work(signalOf).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    res.off('close', onClose);
    onClose();
  }
}

const timedOut = (ms: number) =>
  new Problem('unavailable', `The request took longer than ${ms} ms.`, { headers: { 'Retry-After': '1' } });
