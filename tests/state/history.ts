// A history of concurrent operations on versioned objects and leases, and its comparison with the log. Times are milliseconds of one clock.

interface Timed {
  start: number;
  /** Infinity if there was no answer. */
  end: number;
}

/** A read or write of an object. `value` is the number that a write stores, different for every write, or null for a deletion. */
export interface Operation extends Timed {
  key: string;
  kind: 'read' | 'write';
  value: number | null;
  /** The condition: a version, or `new` for no object. */
  expects?: number | 'new';
  /** The lease that fences the write. */
  fence?: { lease: string; token: number };
  /** `absent`: there is no object. `conflict`: the condition does not hold. `stale`: the lease is not held. `unknown`: no answer. */
  outcome: 'done' | 'absent' | 'conflict' | 'stale' | 'unknown';
  version?: number;
  seq?: number;
}

/** A successful acquisition. Its owner acquires nothing else. */
export interface Acquisition extends Timed {
  lease: string;
  owner: string;
  token: number;
  expires_at: string;
  /** When its holder began to release it. */
  released?: number;
}

/** An event of the log. Those of leases have an owner, those of objects a version and a value. */
export interface Logged {
  seq: number;
  kind: string;
  key: string;
  at: string;
  owner?: string;
  version?: number;
  value?: number | null;
}

export interface History {
  operations: Operation[];
  acquisitions: Acquisition[];
  log: Logged[];
}

/** Returns what contradicts a linearisable execution in the order of the log. */
export function anomaliesIn({ operations, acquisitions, log }: History): string[] {
  const anomalies: string[] = [];
  const report = (text: string, subject: unknown) => anomalies.push(`${text}: ${JSON.stringify(subject)}`);
  const keys = new Set([
    ...operations.map(({ key }) => key),
    ...log.flatMap(({ key, owner }) => (owner === undefined ? [key] : [])),
  ]);
  for (const key of keys) {
    const own = operations.filter((one) => one.key === key);
    checkObject(
      own,
      log.filter((one) => one.key === key && one.owner === undefined),
      report,
    );
  }
  checkCommitOrder(operations, report);
  checkLeases(acquisitions, log, report);
  checkFences(operations, acquisitions, log, report);
  return anomalies;
}

type Report = (text: string, subject: unknown) => void;

/** Compares the operations on an object with its versions in the log. */
function checkObject(operations: Operation[], versions: Logged[], report: Report): void {
  versions.forEach((one, i) => {
    if (one.version !== i + 1) report('a version is missing or repeated', one);
  });
  const valueAt = (version: number) => (version === 0 ? null : versions[version - 1]?.value);
  const started = startsOf(operations, versions, report);
  for (const { operation, observed } of inOrder(operations, ({ version }) => version)) {
    const { kind, outcome, value, version, expects, end } = operation;
    /** Returns whether a version can have been current before the operation ended. */
    const possible = (one: number) => one === 0 || (started.get(one) ?? Number.POSITIVE_INFINITY) <= end;
    const superseded = observed < versions.length && possible(observed + 1);
    if (outcome === 'done') {
      if (valueAt(version!) !== value) report('the log has another value', operation);
      if (kind === 'read' ? version! < observed : version! <= observed)
        report(`version ${observed} was observed before`, operation);
      if (!possible(version!)) report('a version was read before it was written', operation);
      if (expects === 'new' ? valueAt(version! - 1) !== null : expects !== undefined && version !== expects + 1)
        report('the condition did not hold', operation);
    } else if (outcome === 'conflict') {
      const holds = expects === 'new' ? valueAt(observed) === null : expects === observed && valueAt(observed) !== null;
      if (holds && !superseded) report('the condition held', operation);
    } else if (outcome === 'absent') {
      const next = versions.find((one) => one.version! >= observed && one.value === null)?.version;
      const was = valueAt(observed) === null ? observed : next;
      if (was === undefined || !possible(was)) report('the object existed', operation);
    }
  }
}

/** Returns when the write of each version started, and completes unanswered writes that took effect. */
function startsOf(operations: Operation[], versions: Logged[], report: Report): Map<number, number> {
  const writes = operations.filter(({ kind }) => kind === 'write');
  const started = new Map<number, number>();
  const byValue = new Map(writes.flatMap((one) => (one.value === null ? [] : [[one.value, one] as const])));
  const deletions = new Map(
    writes.flatMap((one) => (one.value === null && one.outcome === 'done' ? [[one.version!, one] as const] : [])),
  );
  const lost = writes.filter(({ value, outcome }) => value === null && outcome === 'unknown');
  const seen = new Set<Operation>();
  for (const { version, value, seq } of versions) {
    const write = value === null ? (deletions.get(version!) ?? lost.pop()) : byValue.get(value!);
    if (!write || seen.has(write)) report('nobody wrote this version, or twice', { version, value, seq });
    else if (write.outcome === 'unknown') Object.assign(write, { outcome: 'done', version, seq });
    else if (write.outcome !== 'done' || write.version !== version || write.seq !== seq)
      report('the answer differs from the log', { write, version, seq });
    if (!write) continue;
    seen.add(write);
    started.set(version!, write.start);
  }
  for (const write of writes)
    if (write.outcome === 'done' && !seen.has(write)) report('an acknowledged write is not in the log', write);
  return started;
}

/** Yields the operations by their start, each with the largest number that one observed which ended before. */
function* inOrder(operations: Operation[], numberOf: (one: Operation) => number | undefined) {
  const byEnd = operations.filter((one) => one.outcome === 'done').sort((a, b) => a.end - b.end);
  let [ended, observed] = [0, 0];
  for (const operation of [...operations].sort((a, b) => a.start - b.start)) {
    for (; ended < byEnd.length && byEnd[ended]!.end < operation.start; ended += 1)
      observed = Math.max(observed, numberOf(byEnd[ended]!) ?? 0);
    yield { operation, observed };
  }
}

/** The order of commits over all objects agrees with the time. */
function checkCommitOrder(operations: Operation[], report: Report): void {
  for (const { operation, observed } of inOrder(operations, ({ seq }) => seq))
    if (operation.kind === 'write' && operation.outcome === 'done' && operation.seq! <= observed)
      report(`commit ${observed} was observed before`, operation);
}

/** A lease is acquired only after it was released or has expired, and its tokens grow. */
function checkLeases(acquisitions: Acquisition[], log: Logged[], report: Report): void {
  const byOwner = new Map(acquisitions.map((one) => [one.owner, one]));
  const holders = new Map<string, Acquisition | undefined>();
  const tokens = new Map<string, number>();
  for (const { kind, key, owner, at } of log) {
    if (kind === 'lease.released') holders.delete(key);
    if (kind !== 'lease.acquired') continue;
    const own = byOwner.get(owner!);
    const before = holders.get(key);
    if (before && Date.parse(at) < Date.parse(before.expires_at))
      report('the lease is acquired while it is held', { before, owner, at });
    holders.set(key, own);
    if (own && own.token <= (tokens.get(key) ?? 0)) report('the token does not grow', own);
    if (own) tokens.set(key, own.token);
  }
}

/** A fenced write takes effect under its lease alone, and is refused only if the lease may have ended. */
function checkFences(operations: Operation[], acquisitions: Acquisition[], log: Logged[], report: Report): void {
  const byToken = new Map(acquisitions.map((one) => [`${one.lease} ${one.token}`, one]));
  const holders = new Map<string, string | undefined>();
  const writes = new Map(
    operations.flatMap((one) => (one.seq !== undefined && one.kind === 'write' ? [[one.seq, one] as const] : [])),
  );
  for (const { kind, key, owner, seq, at } of log) {
    if (kind === 'lease.released') holders.delete(key);
    else if (kind === 'lease.acquired') holders.set(key, owner);
    const write = writes.get(seq);
    const held = write?.fence && byToken.get(`${write.fence.lease} ${write.fence.token}`);
    if (held && (holders.get(held.lease) !== held.owner || Date.parse(at) > Date.parse(held.expires_at)))
      report('a stale fence was accepted', { write, held });
  }
  for (const { outcome, fence, start, end } of operations) {
    const held = outcome === 'stale' && byToken.get(`${fence!.lease} ${fence!.token}`);
    // the clock of the database and that of the history are the same
    if (held && held.end < start && (held.released ?? end) >= end && end < Date.parse(held.expires_at))
      report('a current fence was refused', { fence, start, end, held });
  }
}
