// Batches the look-ups of a tenant that differ only in the id. A single look-up is sent at the end of the current turn of the event loop.
// Under load, look-ups that arrive while earlier ones are in flight share the next statement, like writes (commit.ts). A round trip, the
// tenant's scope and the column descriptions cost more than reading a row by its key.

interface Waiting<Row> {
  id: string;
  resolve(row: Row | undefined): void;
  reject(error: unknown): void;
}

interface LookUpQueue<Row> {
  waiting: Waiting<Row>[];
  inFlight: number;
}

/** Reads the rows with these ids that exist, by id. */
export type Load<Row> = (ids: string[]) => Promise<Map<string, Row>>;

/** Bounded, so that resolving a batch does not block the event loop. */
const MAX_IDS = 32;
const MAX_IN_FLIGHT = 2;

/** Returns a function that looks up a row by its id. Look-ups with the same `key` must have the same `load`. */
export function createLookUps<Row>() {
  const queues = new Map<string, LookUpQueue<Row>>();

  function lookUp(key: string, id: string, load: Load<Row>): Promise<Row | undefined> {
    const queue = queues.get(key) ?? { waiting: [], inFlight: 0 };
    queues.set(key, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ id, resolve, reject });
      if (queue.waiting.length === 1 && queue.inFlight < MAX_IN_FLIGHT) setImmediate(sendWaiting, key, queue, load);
    });
  }

  function sendWaiting(key: string, queue: LookUpQueue<Row>, load: Load<Row>): void {
    while (queue.waiting.length > 0 && queue.inFlight < MAX_IN_FLIGHT) void send(key, queue, load);
  }

  async function send(key: string, queue: LookUpQueue<Row>, load: Load<Row>): Promise<void> {
    const batch = queue.waiting.splice(0, MAX_IDS);
    queue.inFlight += 1;
    try {
      const rows = await load([...new Set(batch.map(({ id }) => id))]);
      for (const { id, resolve } of batch) resolve(rows.get(id));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    queue.inFlight -= 1;
    sendWaiting(key, queue, load);
    if (queue.inFlight === 0 && queue.waiting.length === 0) queues.delete(key);
  }

  return lookUp;
}
