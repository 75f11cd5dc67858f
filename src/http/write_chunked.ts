import type { ServerResponse } from 'node:http';

// Writes large answers in chunks with backpressure: each chunk is written once the previous one has drained. A socket counts bytes as
// written when they are handed over, so without chunks a steady but slow client looked like one that had stopped reading.

const CHUNK_BYTES = 64 * 1024;
/** The connection is closed if the client takes longer than this to read one chunk. */
export const CHUNK_TIMEOUT_MS = 60_000;

/** Writes the bytes. Returns false if the client disconnected or was too slow. */
export async function writeChunked(res: ServerResponse, bytes: Buffer, timeout_ms = CHUNK_TIMEOUT_MS): Promise<boolean> {
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    if (res.destroyed) return false;
    if (!res.write(bytes.subarray(from, from + CHUNK_BYTES)) && !(await waitForEvent(res, 'drain', timeout_ms))) return false;
  }
  return true;
}

/** Writes the bytes and ends the response. */
export async function endChunked(res: ServerResponse, bytes: Buffer, timeout_ms = CHUNK_TIMEOUT_MS): Promise<void> {
  if (!(await writeChunked(res, bytes, timeout_ms))) return;
  const finished = waitForEvent(res, 'finish', timeout_ms);
  res.end();
  await finished;
}

function waitForEvent(res: ServerResponse, event: 'drain' | 'finish', timeout_ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (occurred: boolean) => {
      clearTimeout(cut);
      res.off(event, onEvent).off('close', onClose);
      resolve(occurred);
    };
    const cut = setTimeout(() => {
      res.destroy();
      settle(false);
    }, timeout_ms);
    const onEvent = () => settle(true);
    const onClose = () => settle(false);
    res.once(event, onEvent).once('close', onClose);
    if (res.destroyed) settle(false);
  });
}
