/**
 * Collects what a PostgreSQL client sends until it makes whole messages. pglite-socket joins its whole buffer anew for each
 * 64 KiB that arrive: a parameter of 32 MiB took 6.7 s, which is longer than a query may take. Given whole messages it does not.
 */
export function createMessageFramer(): (chunk: Buffer) => Buffer | undefined {
  let waiting: Buffer[] = [];
  let bytes = 0;
  /** How much must have come before it is worth looking again. */
  let needed = 8;
  let started = false;

  return (chunk) => {
    waiting.push(chunk);
    bytes += chunk.length;
    if (bytes < needed) return undefined;
    const all = waiting.length === 1 ? chunk : Buffer.concat(waiting);
    const end = endOfWhole(all);
    const rest = all.subarray(end);
    waiting = rest.length > 0 ? [rest] : [];
    bytes = rest.length;
    return end > 0 ? all.subarray(0, end) : undefined;
  };

  function endOfWhole(all: Buffer): number {
    let end = 0;
    for (;;) {
      const length = messageLength(all, end);
      needed = length ?? (started ? 5 : 8);
      if (length === undefined || end + length > all.length) return end;
      started ||= all.readInt32BE(end + 4) === PROTOCOL_3;
      end += length;
    }
  }

  /** Before the start-up message has come, messages have no type in front of their length. */
  function messageLength(all: Buffer, at: number): number | undefined {
    // A length that cannot be is passed on for the engine to refuse.
    if (!started) return all.length - at >= 8 ? Math.max(all.readInt32BE(at), 8) : undefined;
    return all.length - at >= 5 ? 1 + Math.max(all.readInt32BE(at + 1), 4) : undefined;
  }
}

const PROTOCOL_3 = 196_608;
