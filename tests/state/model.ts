import fc from 'fast-check';
import type { Row } from './client.ts';

// A model of state: a map of keys with versions, tags, expiry and owners, a lease and snapshots, and random commands for them.

export type Actor = 'bob' | 'carol';
export const actors: Actor[] = ['bob', 'carol'];
/** Keys that begin with `own` are private to the actor that creates them. */
const keys = ['team0', 'team1', 'own0', 'own1'];

interface Entry {
  owner: Actor | null;
  version: number;
  live: boolean;
  body: Row;
  tags: Row;
}

/** A version as later reads of the past see it. `value` is null for a deletion. */
interface Version {
  seq: number;
  key: string;
  value: { body: Row; tags: Row; version: number } | null;
  /** When it expired. */
  ended?: string;
}

export interface Change {
  op: 'put' | 'patch' | 'delete';
  key: string;
  body: Row;
  tags: Row;
  condition: 'none' | 'current' | 'stale' | 'new';
}

/** The token that a request sends: that of the last acquisition, an earlier one, or none. */
type Fence = 'none' | 'current' | 'stale';

export type Command =
  | { kind: 'batch'; actor: Actor; changes: Change[]; fence: Fence }
  | { kind: 'single'; actor: Actor; change: Change; fence: Fence }
  | { kind: 'acquire' | 'lapse' | 'snapshot'; actor: Actor }
  | { kind: 'release' | 'renew'; actor: Actor; fence: Fence }
  | { kind: 'expire'; key: string }
  | { kind: 'read'; actor: Actor; key: string }
  | { kind: 'past'; actor: Actor; moment: number }
  | { kind: 'query'; actor: Actor; tags: Row };

const actor = fc.constantFrom(...actors);
const key = fc.constantFrom(...keys);
const tags = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('x', 'y'), { maxKeys: 2, noNullPrototype: true });
const change = fc.record<Change>({
  op: fc.constantFrom('put', 'put', 'patch', 'delete'),
  key,
  body: fc.dictionary(fc.constantFrom('m', 'n'), fc.nat(5), { maxKeys: 2, noNullPrototype: true }),
  tags,
  condition: fc.constantFrom('none', 'none', 'current', 'stale', 'new'),
});

const fence = fc.constantFrom<Fence>('none', 'none', 'none', 'current', 'current', 'stale');

export const commands = (length: number): fc.Arbitrary<Command[]> =>
  fc.array(
    fc.oneof<[fc.Arbitrary<Command>, ...fc.Arbitrary<Command>[]]>(
      fc.record({ kind: fc.constant('single' as const), actor, change, fence }),
      fc.record({ kind: fc.constant('single' as const), actor, change, fence }),
      fc.record({ kind: fc.constant('batch' as const), actor, changes: fc.array(change, { minLength: 1, maxLength: 4 }), fence }),
      fc.record({ kind: fc.constantFrom('acquire', 'acquire', 'acquire', 'lapse', 'snapshot', 'snapshot'), actor }),
      fc.record({ kind: fc.constantFrom('release', 'renew'), actor, fence }),
      fc.record({ kind: fc.constant('expire' as const), key }),
      fc.record({ kind: fc.constant('read' as const), actor, key }),
      fc.record({ kind: fc.constant('past' as const), actor, moment: fc.nat(1000) }),
      fc.record({ kind: fc.constant('query' as const), actor, tags }),
    ),
    { minLength: 1, maxLength: length },
  );

export class Model {
  entries = new Map<string, Entry>();
  versions: Version[] = [];
  /** The seqs whose state can be compared, with their times, and the names of those that are snapshots. */
  moments: { seq: number; at: string; name?: string }[] = [];
  /** The holder of the lease, if any, and the token of the last acquisition. */
  lease: { holder: Actor | null; token: number } = { holder: null, token: 0 };

  /** Returns the versions that `current` and `stale` stand for. */
  conditionOf({ key, condition }: Change): { match?: number; onlyNew?: boolean } {
    const version = this.entries.get(key)?.version ?? 0;
    if (condition === 'current') return { match: Math.max(1, version) };
    if (condition === 'stale') return { match: version + 7 };
    return condition === 'new' ? { onlyNew: true } : {};
  }

  /** Returns the token that a fence stands for. */
  tokenOf(fence: Fence): number | undefined {
    if (fence === 'none') return undefined;
    return Math.max(1, this.lease.token - (fence === 'stale' ? 1 : 0));
  }

  /** Returns whether a write with this token is refused. */
  isStale(token: number | undefined): boolean {
    return token !== undefined && (this.lease.holder === null || token !== this.lease.token);
  }

  /** Returns the status of an acquisition. */
  acquire(actor: Actor): number {
    if (this.lease.holder !== null && this.lease.holder !== actor) return 409;
    this.lease = { ...this.lease, holder: actor };
    return 200;
  }

  /** Returns the status of a renewal or release. */
  change(actor: Actor, kind: 'release' | 'renew', token: number): number {
    if (this.lease.holder !== null && this.lease.holder !== actor) return 403;
    if (this.isStale(token)) return 412;
    if (kind === 'release') this.lease = { ...this.lease, holder: null };
    return kind === 'release' ? 204 : 200;
  }

  /** Returns the status of a change, and applies it if it succeeds. `conditions` were computed before the request. */
  apply(actor: Actor, { op, key, body, tags }: Change, { match, onlyNew }: { match?: number; onlyNew?: boolean }): number {
    const entry = this.entries.get(key);
    if (entry && entry.owner !== null && entry.owner !== actor) return 404;
    if (op !== 'put' && !entry?.live) return 404;
    if (op === 'put' && onlyNew && entry?.live) return 412;
    if (match !== undefined && !(entry?.live && entry.version === match)) return 412;
    const owner = entry ? entry.owner : key.startsWith('own') ? actor : null;
    // the end of an expired object is a version, too
    const version = (entry?.version ?? 0) + 1 + (entry && this.isEnding(key) ? 1 : 0);
    const changed = op === 'patch' ? { body: { ...entry!.body, ...body }, tags: entry!.tags } : { body, tags };
    this.entries.set(key, { owner, version, live: op !== 'delete', ...changed });
    return op === 'put' && !entry?.live ? 201 : op === 'delete' ? 204 : 200;
  }

  private readonly ending = new Set<string>();
  private readonly isEnding = (key: string) => this.ending.delete(key);

  expire(key: string, at: string): void {
    const entry = this.entries.get(key)!;
    this.entries.set(key, { ...entry, live: false });
    this.ending.add(key);
    this.versions.findLast((one) => one.key === key)!.ended = at;
  }

  record(seq: number, key: string): void {
    const { live, body, tags, version } = this.entries.get(key)!;
    this.versions.push({ seq, key, value: live ? { body, tags, version } : null });
  }

  copy(): Model {
    const model = new Model();
    model.entries = new Map(this.entries);
    model.lease = this.lease;
    for (const one of this.ending) model.ending.add(one);
    return model;
  }

  accept(model: Model): void {
    this.entries = model.entries;
    this.ending.clear();
    for (const one of model.ending) this.ending.add(one);
  }

  private readonly sees = (actor: Actor, key: string) => [null, actor].includes(this.entries.get(key)!.owner);

  /** Returns the objects with these tags that the actor sees. */
  find(actor: Actor, tags: Row): Row[] {
    return [...this.entries]
      .filter(
        ([key, { live, tags: own }]) =>
          live && this.sees(actor, key) && Object.entries(tags).every(([name, value]) => own[name] === value),
      )
      .map(([key, { body, tags: own, version }]) => ({ key, body, tags: own, version }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Returns the objects that the actor sees as of a moment. */
  findAt(actor: Actor, { seq, at }: { seq: number; at: string }): Row[] {
    return keys
      .flatMap((key) => {
        const last = this.versions.findLast((one) => one.key === key && one.seq <= seq);
        const isLive = last?.value && (last.ended === undefined || last.ended > at);
        return isLive && this.sees(actor, key) ? [{ key, ...last.value }] : [];
      })
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}
