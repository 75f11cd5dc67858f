import type { IncomingMessage } from 'node:http';
import { actorOf, type Caller, visibilityById } from '../auth/index.ts';
import { type EventRow, type Outcome, serviceEventOf, type Unit, unitOf } from '../db/unit.ts';
import { isCreateOnly } from '../http/etag.ts';
import { assertWritten } from '../http/outcome.ts';
import { type FieldError, Problem, toProblem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import type { AsyncScreener } from '../secrets/index.ts';
import { parseTime } from '../time.ts';
import { audienceOf, type GivenAudience, permissionsOf } from './audience.ts';
import type { StateObject } from './schemas.ts';
import { objectOf, readWritten, type WrittenRow } from './sql.ts';

// Every change of an object is one event. SQL judges it with the clock of the tenant locked (state_judge), so a compare-and-set sees every earlier
// change, also those of the same batch.

/** The conditions of a change. `match`: accepted versions, or `any` for any live object; undefined: no condition. */
export interface Conditions {
  match?: number[] | 'any' | undefined;
  onlyNew?: boolean | undefined;
  /** The version that a patch was applied to. */
  expected?: number;
}

interface Target extends Conditions {
  namespace: string;
  key: string;
  /** The caller on whose behalf this object is changed. */
  caller: Caller;
  /** JSON pointer of the change in the request. */
  pointer: string;
}

interface Put extends Target, GivenAudience {
  op: 'put';
  body: unknown;
  tags: Record<string, string>;
  ttl_seconds?: number | undefined;
  /** The expiry stays as it is. */
  keepExpiry?: boolean;
}

interface Delete extends Target {
  op: 'delete';
}

export type Change = Put | Delete;

export interface WriteLimits {
  /** Maximum size of body and tags as JSON, in bytes. */
  maxBytes: number;
  screener: AsyncScreener;
}

/** Returns the conditions of the headers If-Match and If-None-Match. A tag that is not the ETag of a version matches nothing. */
export function conditionsOf(req: IncomingMessage): Conditions {
  const header = req.headers['if-match']?.trim();
  const versions = () =>
    [...header!.matchAll(/(W\/)?"(\d{1,10})"/g)].flatMap(([, weak, version]) => (weak ? [] : [Number(version)]));
  return { match: header === undefined ? undefined : header === '*' ? 'any' : versions(), onlyNew: isCreateOnly(req) };
}

/** A change that was written. `object` is undefined if it deleted the object. */
export interface Written {
  object: StateObject | undefined;
  /** The key had no live object before. */
  created: boolean;
}

/** Writes changes in one unit. Returns what they wrote, in order. Throws for a refused change; its pointer is in `errors` if there are several. */
export async function commitChanges(
  { tenant, principal }: Caller,
  changes: Change[],
  idempotency: Idempotency | null,
  limits: WriteLimits,
): Promise<{ written: Written[]; replay: boolean }> {
  const events: EventRow[] = [];
  for (const [n, change] of changes.entries()) events.push(await eventOf(change, n, limits));
  const outcome = await tenant.commit(unitOf(idempotency, events));
  if (outcome.status === 'refused') throw refusalOf(outcome, changes);
  assertWritten(outcome);
  if (outcome.status === 'new') return { written: writtenNow(changes, events, outcome), replay: false };
  const rows = await tenant.read((db) => readWritten(db, tenant.id, outcome.seq, outcome.count, visibilityById(principal)));
  if (rows.length < changes.length) throw new Problem('not-found', 'There is no object with this key.');
  return { written: rows.map(replayed), replay: true };
}

/** A patch was applied to a version that is no longer current. */
class Stale extends Problem {}

function refusalOf({ refusal }: Outcome, changes: Change[]): Problem {
  const { type, message } = toProblem({ code: refusal!.code, message: refusal!.detail });
  const pointer = changes[refusal!.event ?? 0]?.pointer ?? '#';
  const errors: FieldError[] | undefined = changes.length > 1 ? [{ pointer, detail: refusal!.detail }] : undefined;
  return new (refusal!.stale ? Stale : Problem)(type, message, { ...(errors && { errors }) });
}

/** Returns the event of a change, without what only SQL knows: the audience of an existing object, its version and its times. */
async function eventOf(change: Change, n: number, limits: WriteLimits): Promise<EventRow> {
  const { principal } = change.caller;
  const { namespace, key, match, onlyNew, expected, pointer } = change;
  const actor = actorOf(principal);
  const common = {
    ...{ n, namespace, key, expiry_event_id: newId('evt'), may: permissionsOf(principal) },
    ...(match !== undefined && { if_match: match }),
    ...(onlyNew && { if_none_match: true }),
    ...(expected !== undefined && { expected }),
  };
  const row = {
    ...{ session_id: '', channel: 'team', actor_type: actor.type, actor_id: actor.id, content: {} },
    event_id: newId('evt'),
  } as const;
  if (change.op === 'delete')
    return serviceEventOf({
      ...row,
      kind: 'state.deleted',
      effects: { state: { ...common, op: 'delete', given: [], audience: {} } },
    });
  const screened = await screen(change, row.event_id, limits);
  const { audience, given } = audienceOf(principal, change, { pointer: `${pointer}/user_id` });
  const expiry = change.keepExpiry ? { keep_expiry: true } : { ttl_seconds: change.ttl_seconds };
  const effect = {
    ...common,
    op: 'put',
    audience,
    given,
    ...screened.value,
    ...expiry,
    ...(screened.sealed && { sealed: screened.sealed }),
  };
  return serviceEventOf({
    ...row,
    kind: 'state.put',
    ...(screened.redactions > 0 && { redactions: screened.redactions }),
    effects: { state: effect },
  });
}

async function screen(change: Put, event_id: string, { maxBytes, screener }: WriteLimits) {
  const { namespace, key, user_id, agent_id, session_id, project_id, body, tags, pointer } = change;
  screener.refuseIds({ namespace, key, user_id, agent_id, session_id, project_id }, pointer);
  const bytes = Buffer.byteLength(JSON.stringify([body, tags]));
  if (bytes > maxBytes)
    throw new Problem('too-large', `The body and tags of an object may have at most ${maxBytes} bytes; these have ${bytes}.`, {
      errors: [{ pointer, detail: `must have at most ${maxBytes} bytes, has ${bytes}` }],
    });
  return screener.screenAsync({ body, tags }, { pointer, aad: event_id });
}

/** What state_apply returns for a change. */
interface Applied extends Omit<StateObject, 'body' | 'tags' | 'commit_seq' | 'redactions'> {
  n: number;
  seq: number;
  is_new: boolean;
}

function writtenNow(changes: Change[], events: EventRow[], { at, made = {} }: Outcome): Written[] {
  const byChange = new Map(
    Object.entries(made).flatMap(([name, doc]) => (name.startsWith('state/') ? [[(doc as Applied).n, doc as Applied]] : [])),
  );
  return changes.map((change, n) => {
    const applied = byChange.get(n)!;
    if (change.op === 'delete') return { object: undefined, created: false };
    const { body, tags } = (events[n]!.effects as { state: Pick<Put, 'body' | 'tags'> }).state;
    const { redactions } = events[n]!;
    const created_at = parseTime(applied.created_at)!;
    const row = {
      ...applied,
      body,
      tags,
      created_at,
      updated_at: at,
      expires_at: applied.expires_at ? parseTime(applied.expires_at)! : null,
    };
    return { object: { ...objectOf(row as never), ...(redactions !== undefined && { redactions }) }, created: applied.is_new };
  });
}

function replayed({ kind, erased, was_live, redactions, ...row }: WrittenRow): Written {
  if (erased) throw new Problem('gone', 'The object was erased.');
  if (kind === 'state.deleted') return { object: undefined, created: false };
  return {
    object: { ...objectOf(row as never), ...(redactions !== null && { redactions: redactions as number }) },
    created: !was_live,
  };
}

/** Returns a unit that records the end of an object that has expired. It needs no room in the quota. */
export function expiryUnit({ namespace, key }: { namespace: string; key: string }): Unit {
  const event_id = newId('evt');
  const event = serviceEventOf({
    ...{
      event_id,
      kind: 'state.expired',
      session_id: '',
      channel: 'team',
      actor_type: 'agent',
      actor_id: 'agent-memory',
      content: {},
    },
    effects: { state: { op: 'expire', n: null, namespace, key, expiry_event_id: event_id } },
  });
  return unitOf(null, [event], 0);
}
