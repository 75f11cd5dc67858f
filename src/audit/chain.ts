import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from '../http/json.ts';
import type { AuditKey, AuditKeys } from './keys.ts';

// The hash chain, without a database. The MAC of an entry covers the previous MAC, all clear-text fields and a commitment to the payload. A
// payload can thus be erased with its salt, and the chain remains verifiable. Background: docs/decisions/audit-chain.md.

export type Payload = Record<string, unknown>;

/** The content of an entry before it is chained. */
export interface EntryInput {
  action: string;
  /** Method and path template, or `npm run …`. */
  route: string;
  /** Status of the response; 0 if there was no request. */
  status: number;
  count: number;
  /** RFC 3339; default: the time of the entry. */
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

/** An entry as stored. `payload` and `salt` are null after an erasure. */
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
const FORMAT = 1;

/** The commitment reveals nothing about the payload without the salt. */
const commit = (salt: Buffer, payload: Payload): Buffer => createHmac('sha256', salt).update(canonicalJson(payload)).digest();

/** Computes the MAC of an entry. `before`: MAC of the previous entry, empty for the first. */
function macOf({ key, id }: AuditKey, tenant: string, before: Buffer, entry: Omit<Entry, 'mac' | 'payload' | 'salt'>): Buffer {
  const { seq, at, first_at, action, route, status, count, commitment } = entry;
  // JSON delimits the fields, so that different entries have different encodings
  const fields = [
    FORMAT,
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
  return createHmac('sha256', key).update(JSON.stringify(fields)).digest();
}

/** Chains new entries after `head`. Their time is never before that of `head`, even if the clocks of daemons differ. */
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

/** The action of entries that list the seqs of blanked entries. */
export const ERASED = 'audit.erased';

/** Verifies a chain entry by entry. Each is checked against the stored MAC of its predecessor, so that one change causes at most two faults. */
export function createChecker(keys: AuditKeys, tenant: string) {
  let head: Head = EMPTY_HEAD;
  const faults: Fault[] = [];
  const blank = new Set<number>();
  const accounted = new Set<number>();
  const report = (seq: number, fault: string) => faults.push({ seq, fault });

  function check(entry: Entry): void {
    const { seq, mac } = entry;
    if (seq !== head.seq + 1) report(head.seq + 1, seq > head.seq + 2 ? `missing, up to ${seq - 1}` : 'missing');
    const key = keys.find(entry.key_id);
    if (!key) report(seq, `signed with the key ${entry.key_id}, which is not configured (AUDIT_KEY, AUDIT_KEY_PREVIOUS)`);
    else if (!equal(mac, macOf(key, tenant, head.mac, entry))) report(seq, 'changed or moved');
    else checkPayload(entry);
    head = { seq, mac, at: entry.at };
  }

  function checkPayload({ seq, action, payload, salt, commitment }: Entry): void {
    if (payload === null && salt === null) blank.add(seq);
    else if (payload === null || salt === null || !equal(commitment, commit(salt, payload))) report(seq, 'payload changed');
    else if (action === ERASED && Array.isArray(payload.seqs)) for (const each of payload.seqs) accounted.add(Number(each));
  }

  /** Completes the verification. `clock`: the end of the stream as the database has recorded it. */
  function end(clock: Head): Fault[] {
    for (const seq of blank) if (!accounted.has(seq)) report(seq, `blanked, but no ${ERASED} entry lists it`);
    if (clock.seq > head.seq) report(head.seq + 1, clock.seq > head.seq + 1 ? `missing, up to ${clock.seq}` : 'missing');
    else if (clock.seq < head.seq) report(head.seq, `after the end of the stream (seq ${clock.seq})`);
    else if (!equal(clock.mac, head.mac) || clock.at !== head.at) report(head.seq, 'differs from the recorded end of the stream');
    return faults.sort((a, b) => a.seq - b.seq);
  }

  return { check, end, report, head: () => head };
}

const equal = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);
