import { actorOf, type Caller, requireChannel, route, subjectOf, visibilityById } from '../auth/index.ts';
import { serviceEventOf, unitOf } from '../db/unit.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import { type Counter, counter, counterBody, counterList, counterPage, counterParams, counterValue } from './schemas.ts';
import { findCounter, listCounters } from './sql.ts';

const tagged = { tag: 'Counters', limit: 'v1' } as const;

export const counterRoutes = [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/counters',
    operation: 'createCounter',
    summary: 'Create a counter',
    access: 'write',
    idempotent: true,
    body: counterBody,
    freeText: ['name'],
    success: { status: 201, description: 'The counter', schema: counter },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict', 'quota-exceeded'],
    handle: async ({ caller, body: { ttl_s, ...given }, idempotency }) => {
      requireChannel(caller.principal, given.channel);
      const expires_at = ttl_s === undefined ? null : new Date(Date.now() + ttl_s * 1000).toISOString();
      return set(caller, { ...given, counter_id: newId('ctr'), expires_at }, undefined, idempotency);
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/counters',
    operation: 'listCounters',
    summary: 'List counters, oldest first',
    access: 'read',
    query: counterList,
    success: { status: 200, description: 'A page of counters', schema: counterPage },
    problems: ['validation'],
    handle: async ({ caller: { tenant, principal }, query }) => {
      const after = query.cursor === undefined ? '' : String(decodeCursor(query.cursor, ['string'])[0]);
      const rows = await tenant.read((db) => listCounters(db, tenant.id, visibilityById(principal), after, query.limit + 1));
      return { body: toPage(rows, query.limit, (row) => [row.counter_id]) };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/counters/{counter_id}',
    operation: 'readCounter',
    summary: 'Get a counter',
    access: 'read',
    params: counterParams,
    success: { status: 200, description: 'The counter', schema: counter },
    problems: ['validation', 'not-found'],
    handle: async ({ caller, params }) => ({ body: await read(caller, params.counter_id) }),
  }),
  route({
    ...tagged,
    method: 'PUT',
    path: '/v1/counters/{counter_id}/value',
    operation: 'setCounter',
    summary: 'Set a counter',
    access: 'write',
    idempotent: true,
    params: counterParams,
    body: counterValue,
    success: { status: 200, description: 'The counter', schema: counter },
    problems: [
      ...(['malformed-json', 'validation', 'forbidden', 'not-found', 'conflict', 'precondition-failed'] as const),
      'quota-exceeded',
    ],
    handle: async ({ caller, params, body, idempotency }) => {
      const current = await read(caller, params.counter_id);
      requireChannel(caller.principal, current.channel);
      return set(caller, { ...current, value: body.value }, body.expected, idempotency);
    },
  }),
];

async function read({ tenant, principal }: Caller, counter_id: string): Promise<Counter> {
  const found = await tenant.read((db) => findCounter(db, tenant.id, counter_id, visibilityById(principal)));
  if (!found) throw new Problem('not-found', 'There is no counter with this id.');
  return found;
}

type Setting = Pick<Counter, 'counter_id' | 'name' | 'value' | 'channel' | 'expires_at'> & { made_by?: string | null };

/** Creates or sets a counter. `expected`: the current value; undefined to create. A retry returns the value that the first attempt set. */
async function set(
  { tenant, principal }: Caller,
  { counter_id, name, value, channel, expires_at, made_by }: Setting,
  expected: number | undefined,
  idempotency: Idempotency | null,
) {
  const actor = actorOf(principal);
  const user_id = subjectOf(principal, undefined, true, { parameter: 'user_id' })!;
  const effect = { counter_id, name, value, expires_at, ...(expected !== undefined && { expected }) };
  const event = serviceEventOf({
    kind: 'counter.set',
    session_id: counter_id,
    channel,
    user_id,
    actor_type: actor.type,
    actor_id: actor.id,
    content: { counter_id, name, value },
    effects: { counters: effect },
  });
  const outcome = await tenant.commit(unitOf(idempotency, [event]));
  assertWritten(outcome);
  const written = outcome.made!['counters/0'] as Pick<Counter, 'counter_id' | 'name' | 'value' | 'expires_at'>;
  return {
    body: { ...written, seq: outcome.seq, channel, made_by: made_by === undefined ? user_id : made_by },
    headers: replayHeaders(outcome.status === 'replay'),
  };
}
