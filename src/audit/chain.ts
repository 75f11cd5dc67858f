import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from '../http/json.ts';
import type { AuditKey, AuditKeys } from './keys.ts';

// The chain, without a database. An entry's mac covers the mac before it and everything that stands in clear; of its payload only the
// commitment, so that a payload can be erased with its salt and the chain still holds. Why: docs/decisions/audit-chain.md.

export type Payload = Record<string, unknown>;

/** What is to be said, before it has a place. */
export interface EntryInput {
  action: string;
  /** The template of the path, or `npm run …`. */
  route: string;
  /** Of the answer; 0 where there was no request. */
  status: number;
  count: number;
  /** RFC 3339; absent: the moment of the entry. */
  first_at?: string;
  payload: Payload;
}

export interface Head {
  seq: number;
  mac: Buffer;
  /** RFC 3339, to the millisecond; null before the first entry. */
  at: string | null;
}

export const EMPTY_HEAD: Head = { seq: 0, mac: Buffer.alloc(0), at: null };

/** An entry as the database keeps it. `payload` and `salt` are null where they were erased. */
export interface Entry {
  seq: number;
  at: string;
  first_at: string;
  action: string;
  route: string;
  status: number;
  count: number;
  payload: Payload | null;
  salt: Buffer | null;
  commitment: Buffer;
  key_id: string;
  mac: Buffer;
}

const SALT_BYTES = 32;
const FORM = 1;

/** Says nothing of the payload without the salt. */
const commit = (salt: Buffer, payload: Payload): Buffer => createHmac('sha256', salt).update(canonicalJson(payload)).digest();

/** `before`: the mac of the entry before it, empty for the first. */
function macOf({ key, id }: AuditKey, tenant: string, before: Buffer, entry: Omit<Entry, 'mac' | 'payload' | 'salt'>): Buffer {
  const { seq, at, first_at, action, route, status, count, commitment } = entry;
  // JSON keeps the fields apart: no two entries are written the same way
  const said = [
    FORM,
    tenant,
    before.toString('hex'),
    seq,
    at,
    first_at,
    action,
    route,
    status,
    count,
    commitment.toString('hex'),
    id,
  ];
  return createHmac('sha256', key).update(JSON.stringify(said)).digest();
}

/** The drafts as entries after `head`. Time never runs backwards along the chain, whatever the clocks of daemons say. */
export function chain(key: AuditKey, tenant: string, head: Head, inputs: EntryInput[], now: Date): Entry[] {
  const at = head.at !== null && head.at > now.toISOString() ? head.at : now.toISOString();
  let { seq, mac } = head;
  return inputs.map((input) => {
    const salt = randomBytes(SALT_BYTES);
    const { action, route, status, count, payload } = input;
    seq += 1;
    const entry = {
      seq,
      at,
      first_at: input.first_at ?? at,
      action,
      route,
      status,
      count,
      commitment: commit(salt, payload),
      key_id: key.id,
    };
    mac = macOf(key, tenant, mac, entry);
    return { ...entry, payload, salt, mac };
  });
}

export interface Fault {
  seq: number;
  fault: string;
}

/** The action of the entry that says which others were blanked. */
export const ERASED = 'audit.erased';

/** Walks a chain entry by entry. Each is held against the mac that stands before it, so that one change is one fault, or two. */
export function createChecker(keys: AuditKeys, tenant: string) {
  let head: Head = EMPTY_HEAD;
  const faults: Fault[] = [];
  const blank = new Set<number>();
  const accounted = new Set<number>();
  const find = (seq: number, fault: string) => faults.push({ seq, fault });

  function check(entry: Entry): void {
    const { seq, mac } = entry;
    if (seq !== head.seq + 1) find(head.seq + 1, seq > head.seq + 2 ? `missing, up to ${seq - 1}` : 'missing');
    const key = keys.find(entry.key_id);
    if (!key) find(seq, `made with the key ${entry.key_id}, which is not given (AUDIT_KEY, AUDIT_KEY_PREVIOUS)`);
    else if (!equal(mac, macOf(key, tenant, head.mac, entry))) find(seq, 'changed, or not at its place');
    else checkPayload(entry);
    head = { seq, mac, at: entry.at };
  }

  function checkPayload({ seq, action, payload, salt, commitment }: Entry): void {
    if (payload === null && salt === null) blank.add(seq);
    else if (payload === null || salt === null || !equal(commitment, commit(salt, payload))) find(seq, 'its payload was changed');
    else if (action === ERASED && Array.isArray(payload.seqs)) for (const each of payload.seqs) accounted.add(Number(each));
  }

  /** `clock`: where the database says the stream stands. */
  function end(clock: Head): Fault[] {
    for (const seq of blank) if (!accounted.has(seq)) find(seq, `blank, and no ${ERASED} names it`);
    if (clock.seq > head.seq) find(head.seq + 1, clock.seq > head.seq + 1 ? `missing, up to ${clock.seq}` : 'missing');
    else if (clock.seq < head.seq) find(head.seq, `beyond the end of the stream, which is ${clock.seq}`);
    else if (!equal(clock.mac, head.mac) || clock.at !== head.at) find(head.seq, 'not what the stream is said to end with');
    return faults.sort((a, b) => a.seq - b.seq);
  }

  return { check, end, find, head: () => head };
}

const equal = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);
