import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { actorOf, type Caller, type Principal } from '../auth/index.ts';
import { type EventRow, type Outcome, serviceEventOf, type Unit, unitOf } from '../db/unit.ts';
import { isCreateOnly } from '../http/etag.ts';
import { assertWritten } from '../http/outcome.ts';
import { type FieldError, Problem, toProblem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import type { AsyncScreener } from '../secrets/index.ts';
import { audienceOf, type GivenAudience, permissionsOf } from './audience.ts';
import { type Outcomes, replayOf, writtenBy } from './written.ts';

// Every change of an object is one event. SQL judges it with the clock of the tenant locked (state_judge), so a compare-and-set sees every
// earlier change, also those of the same batch.

/** The conditions of a change. `match`: accepted versions, or `any` for any live object; undefined: no condition. */
interface Conditions {
  match?: number[] | 'any' | undefined;
  onlyNew?: boolean | undefined;
  /** The version that a patch was applied to. */
  expected?: number;
}

export interface Target extends Conditions {
  namespace: string;
  key: string;
  /** The caller on whose behalf this object is changed. */
  caller: Caller;
  /** JSON pointer of the change in the request. */
  pointer: string;
}

export interface Put extends Target, GivenAudience {
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
  /** Maximum size of body and tags of an object as JSON, in bytes. */
  maxBytes: number;
  /** The same for all objects of a request. */
  maxTotalBytes: number;
  screener: AsyncScreener;
}

/** Returns the conditions of the headers If-Match and If-None-Match. A tag that is not the ETag of a version matches nothing. */
export function conditionsOf(req: IncomingMessage): Conditions {
  const header = req.headers['if-match']?.trim();
  const versions = () =>
    [...header!.matchAll(/(W\/)?"(\d{1,10})"/g)].flatMap(([, weak, version]) => (weak ? [] : [Number(version)]));
  return { match: header === undefined ? undefined : header === '*' ? 'any' : versions(), onlyNew: isCreateOnly(req) };
}

/** Writes changes in one unit. Throws for a refused change, which `errors` names if there are several. */
export async function commitChanges(
  caller: Caller,
  changes: Change[],
  idempotency: Idempotency | null,
  limits: WriteLimits,
): Promise<Outcomes> {
  const screener = await screenerFor(changes, limits);
  const events: EventRow[] = [];
  for (const [n, change] of changes.entries()) {
    events.push(await eventOf(change, n, limits, screener));
    if (n % 100 === 99) await setImmediate();
  }
  const outcome = await caller.tenant.commit(unitOf(idempotency, events));
  if (outcome.refusal?.event !== undefined) throw refusalOf(outcome.refusal, changes);
  assertWritten(outcome);
  return outcome.status === 'replay' ? replayOf(caller, outcome, changes.length) : writtenBy(events, outcome);
}

/** Returns the screener for each change; undefined if one pass over all of them, in a worker if they are long, found no secret. */
async function screenerFor(changes: Change[], { maxTotalBytes, screener }: WriteLimits): Promise<AsyncScreener | undefined> {
  if (changes.length === 1) return screener;
  const values = changes.flatMap((change) => (change.op === 'put' ? [{ body: change.body, tags: change.tags }] : []));
  const bytes = sizeOf(values);
  if (bytes > maxTotalBytes)
    throw new Problem(
      'too-large',
      `The objects of a request may have at most ${maxTotalBytes} bytes together; these have ${bytes}.`,
    );
  return (await screener.findAsync(values, '', true)).length > 0 ? screener : undefined;
}

const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** A patch was applied to a version that is no longer current. */
export class Stale extends Problem {}

function refusalOf({ code, detail, event, stale }: NonNullable<Outcome['refusal']>, changes: Change[]): Problem {
  const { type, message } = toProblem({ code, message: detail });
  const errors: FieldError[] = changes.length > 1 ? [{ pointer: changes[event!]!.pointer, detail }] : [];
  return new (stale ? Stale : Problem)(type, message, errors.length > 0 ? { errors } : {});
}

/** Returns the event of a change, without what only SQL can determine: the audience of an existing object, its version and its times. */
async function eventOf(change: Change, n: number, limits: WriteLimits, screener: AsyncScreener | undefined): Promise<EventRow> {
  const { principal } = change.caller;
  const { namespace, key, match, onlyNew, expected, pointer } = change;
  const actor = actorOf(principal);
  const common = {
    ...{ n, namespace, key, expiry_event_id: newId('evt'), may: mayOf(principal) },
    ...(match !== undefined && { if_match: match }),
    ...(onlyNew && { if_none_match: true }),
    ...(expected !== undefined && { expected }),
  };
  const event_id = newId('evt');
  const row = { event_id, session_id: '', channel: 'team', actor_type: actor.type, actor_id: actor.id, content: {} };
  if (change.op === 'delete')
    return serviceEventOf({
      ...row,
      kind: 'state.deleted',
      effects: { state: { ...common, op: 'delete', given: [], audience: {} } },
    });
  const { value, redactions, sealed } = await screen(change, event_id, limits, screener);
  const effect = {
    ...{ ...common, op: 'put', ...value, ...audienceOf(principal, change, { pointer: `${pointer}/user_id` }) },
    ...(change.keepExpiry ? { keep_expiry: true } : { ttl_seconds: change.ttl_seconds }),
    ...(sealed && { sealed }),
  };
  return serviceEventOf({ ...row, kind: 'state.put', ...(redactions > 0 && { redactions }), effects: { state: effect } });
}

/** Returns the rights of the caller with two lists as array literals, which SQL converts without a query. */
function mayOf(principal: Principal) {
  const { channels, subjects, writable } = permissionsOf(principal);
  return { channels: literalOf(channels), subjects: subjects && literalOf(subjects), writable };
}

const literalOf = (list: string[]): string => `{${list.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;

async function screen(change: Put, event_id: string, limits: WriteLimits, screener: AsyncScreener | undefined) {
  const { namespace, key, user_id, agent_id, session_id, project_id, body, tags, pointer } = change;
  limits.screener.refuseIds({ namespace, key, user_id, agent_id, session_id, project_id }, pointer);
  const bytes = sizeOf([body, tags]);
  if (bytes > limits.maxBytes)
    throw new Problem(
      'too-large',
      `An object may have at most ${limits.maxBytes} bytes of body and tags; this one has ${bytes}.`,
      {
        errors: [{ pointer, detail: `must have at most ${limits.maxBytes} bytes, has ${bytes}` }],
      },
    );
  if (!screener) return { value: { body, tags }, redactions: 0 };
  return screener.screenAsync({ body, tags }, { pointer, aad: event_id });
}

/** Returns a unit that records the end of an object that has expired. It needs no room in the quota. */
export function expiryUnit({ namespace, key }: { namespace: string; key: string }): Unit {
  const event_id = newId('evt');
  const actor = { actor_type: 'agent', actor_id: 'agent-memory' };
  const event = serviceEventOf({
    ...{ ...actor, event_id, kind: 'state.expired', session_id: '', channel: 'team', content: {} },
    effects: { state: { op: 'expire', n: null, namespace, key, expiry_event_id: event_id } },
  });
  return unitOf(null, [event], 0);
}
