import type { ServerResponse } from 'node:http';
import { Problem } from './problem.ts';

/** Runs the work with a signal that is aborted when the client leaves or the time is up; then the answer is 503. */
export async function withinTime<T>(
  ms: number,
  res: ServerResponse,
  work: (signalOf: () => AbortSignal) => Promise<T>,
): Promise<T> {
  // Made when a handler asks for it, which few do: an AbortController and its abort cost a tenth of an append.
  let abort: AbortController | undefined;
  const gone = () => abort?.abort();
  const signalOf = () => {
    if (abort) return abort.signal;
    abort = new AbortController();
    // the client may have left before the handler asked
    if (res.closed) abort.abort();
    else res.once('close', gone);
    return abort.signal;
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    if (ms === 0) return await work(signalOf);
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => reject(tooLate(ms)), ms);
      work(signalOf).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    res.off('close', gone);
    gone();
  }
}

const tooLate = (ms: number) =>
  new Problem('unavailable', `The request took longer than ${ms} ms.`, { headers: { 'Retry-After': '1' } });
