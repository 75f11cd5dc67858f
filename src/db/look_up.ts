// Look-ups of one tenant that differ in nothing but the id travel together. A look-up alone leaves at the end of the turn of the event
// loop in which it was asked for; under load those that come while earlier ones are on their way share the next statement, as writes do
// (commit.ts). The protocol, the tenant's scope and the description of the columns cost more than reading a row by its key.

interface Waiting<Row> {
  id: string;
  resolve(row: Row | undefined): void;
  reject(error: unknown): void;
}

interface LookUpQueue<Row> {
  waiting: Waiting<Row>[];
  inFlight: number;
}

/** Reads the rows of these ids that are there. */
export type Load<Row> = (ids: string[]) => Promise<Map<string, Row>>;

/** Bounded, so that answering all of them does not hold up the event loop. */
const MAX_IDS = 32;
const MAX_IN_FLIGHT = 2;

/** Looks up a row by its id. Look-ups with the same `key` must be answered by the same `load`. */
export function createLookUps<Row>() {
  const lines = new Map<string, LookUpQueue<Row>>();

  function lookUp(key: string, id: string, load: Load<Row>): Promise<Row | undefined> {
    const line = lines.get(key) ?? { waiting: [], inFlight: 0 };
    lines.set(key, line);
    return new Promise((resolve, reject) => {
      line.waiting.push({ id, resolve, reject });
      if (line.waiting.length === 1 && line.inFlight < MAX_IN_FLIGHT) setImmediate(leave, key, line, load);
    });
  }

  function leave(key: string, line: LookUpQueue<Row>, load: Load<Row>): void {
    while (line.waiting.length > 0 && line.inFlight < MAX_IN_FLIGHT) void send(key, line, load);
  }

  async function send(key: string, line: LookUpQueue<Row>, load: Load<Row>): Promise<void> {
    const batch = line.waiting.splice(0, MAX_IDS);
    line.inFlight += 1;
    try {
      const rows = await load([...new Set(batch.map(({ id }) => id))]);
      for (const { id, resolve } of batch) resolve(rows.get(id));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    line.inFlight -= 1;
    leave(key, line, load);
    if (line.inFlight === 0 && line.waiting.length === 0) lines.delete(key);
  }

  return lookUp;
}
