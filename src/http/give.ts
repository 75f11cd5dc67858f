import type { ServerResponse } from 'node:http';

// A large answer goes out piece by piece, each when the one before is gone: what a client takes is seen by its pieces. A socket
// counts bytes as written when they are handed over, so a reader that was steady but slow looked like one that had stopped.

const PIECE_BYTES = 64 * 1024;
/** A reader that needs longer for a piece is cut off. */
export const SLOWEST_PIECE_MS = 60_000;

/** Whether the client took all of it; where it did not, it is gone or cut off. */
export async function give(res: ServerResponse, bytes: Buffer, piece_ms = SLOWEST_PIECE_MS): Promise<boolean> {
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    if (res.destroyed) return false;
    if (!res.write(bytes.subarray(from, from + PIECE_BYTES)) && !(await moved(res, 'drain', piece_ms))) return false;
  }
  return true;
}

/** As `give`, and the end of the answer. */
export async function giveLast(res: ServerResponse, bytes: Buffer, piece_ms = SLOWEST_PIECE_MS): Promise<void> {
  if (!(await give(res, bytes, piece_ms))) return;
  const finished = moved(res, 'finish', piece_ms);
  res.end();
  await finished;
}

function moved(res: ServerResponse, event: 'drain' | 'finish', piece_ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const over = (taken: boolean) => {
      clearTimeout(cut);
      res.off(event, onMoved).off('close', onClose);
      resolve(taken);
    };
    const cut = setTimeout(() => {
      res.destroy();
      over(false);
    }, piece_ms);
    const onMoved = () => over(true);
    const onClose = () => over(false);
    res.once(event, onMoved).once('close', onClose);
    if (res.destroyed) over(false);
  });
}
