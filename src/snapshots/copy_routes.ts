import { actorOf, type Caller, isAdmin, onBehalf, type Principal, requireNamedSubject, route } from '../auth/index.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { decodeCursor, encodeCursor, toPage } from '../http/page.ts';
import { Problem, type ProblemType } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { momentOf, namespaceParams, permissionsOf, visibilityOfLists } from '../state/index.ts';
import {
  type DiffQuery,
  differencePage,
  diffQuery,
  type ForkBody,
  type ForkResult,
  forkBody,
  forkResult,
  type RestoreBody,
  restoreBody,
  restoreResult,
  snapshotRestoreBody,
} from './copy_schemas.ts';
import { compareState, endOfScan, forkState, readNow, type Scope } from './copy_sql.ts';
import { eventBy, restoreAt } from './restore.ts';
import { snapshotParams } from './schemas.ts';

// Restore, diff and fork of state. A restore and a fork are one transaction, in which SQL copies the objects: their bodies never reach the daemon.

const problems: ProblemType[] = [
  ...(['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict', 'gone'] as const),
  ...(['too-large', 'quota-exceeded'] as const),
];

const restoring = {
  tag: 'Snapshots',
  limit: 'v1',
  method: 'POST',
  access: 'write',
  idempotent: true,
  success: { status: 200, description: 'The numbers of changed objects', schema: restoreResult },
  problems,
} as const;

export const copyRoutes = [
  route({
    ...restoring,
    audit: ['state.restored', 'state.restore_previewed'],
    unredactable: ['namespace'],
    path: '/v1/state/restore',
    operation: 'restoreState',
    summary: 'Restore objects as of an earlier moment',
    description:
      'One new commit; the log keeps what happened since. Only objects that the caller can see change. Objects that have expired or were erased since then stay gone.',
    capability: ({ body }) => [{ op: 'ADMIN', namespace: body.namespace }],
    body: restoreBody,
    handle: ({ caller, body, idempotency }) => restore(caller, body, idempotency),
  }),
  route({
    ...restoring,
    audit: ['state.restored', 'state.restore_previewed'],
    unredactable: ['namespace'],
    path: '/v1/snapshots/{name}/restore',
    operation: 'restoreSnapshot',
    summary: 'Restore objects as of a snapshot',
    description: 'Like `POST /v1/state/restore` with the name of the snapshot as `at`.',
    capability: ({ body }) => [{ op: 'ADMIN', namespace: body.namespace }],
    params: snapshotParams,
    body: snapshotRestoreBody,
    handle: ({ caller, params, body, idempotency }) => restore(caller, { ...body, at: params }, idempotency),
  }),
  route({
    tag: 'Snapshots',
    limit: 'v1',
    method: 'GET',
    path: '/v1/snapshots/{name}/diff',
    operation: 'diffSnapshot',
    summary: 'Compare the state at a snapshot with another moment',
    description: 'Lists the objects that differ in body, tags or expiry, by namespace and key.',
    access: 'read',
    capability: ({ query }) => [{ op: 'ADMIN', namespace: query.namespace }],
    params: snapshotParams,
    query: diffQuery,
    success: { status: 200, description: 'A page of differences', schema: differencePage },
    problems: ['validation', 'forbidden', 'not-found', 'gone'],
    handle: async ({ caller, params, query }) => ({ body: await diff(onBehalf(caller, query), params.name, query) }),
  }),
  route({
    tag: 'Snapshots',
    limit: 'v1',
    method: 'POST',
    path: '/v1/state/{namespace}/fork',
    operation: 'forkState',
    summary: 'Copy a namespace',
    description: 'Copies the objects that the caller can see, with audience, tags and expiry, in one commit.',
    access: 'write',
    idempotent: true,
    capability: ({ params, body }) => [
      { op: 'ADMIN', namespace: params.namespace },
      { op: 'ADMIN', namespace: body.to },
    ],
    params: namespaceParams,
    body: forkBody,
    unredactable: ['to'],
    success: { status: 201, description: 'The number of copied objects', schema: forkResult },
    problems,
    handle: ({ caller, params, body, idempotency }) => fork(caller, params.namespace, body, idempotency),
  }),
];

/** Returns what a restore or fork can see and write: for an admin who names no user, all objects. */
function scopeOf(principal: Principal): Scope {
  const scope = permissionsOf(principal);
  if (isAdmin(principal) && principal.reading !== 'one') return { ...scope, subjects: null };
  requireNamedSubject(principal);
  return scope;
}

async function restore(original: Caller, { at, namespace, dry_run, user_id }: RestoreBody, idempotency: Idempotency | null) {
  const { tenant, principal } = onBehalf(original, { user_id }, 'pointer');
  if (namespace === undefined && !isAdmin(principal))
    throw new Problem('forbidden', 'Only admins can restore the whole tenant; name a namespace.');
  const by = { scope: scopeOf(principal), event: eventBy(actorOf(principal)), idempotency };
  const { result, seq, replay } = await restoreAt(tenant, { at, namespace, dry_run }, by);
  if (dry_run) return { body: result, action: 'state.restore_previewed' };
  return { body: result, headers: replayHeaders(replay), audit: { namespace: namespace ?? null, at_seq: seq, ...result } };
}

async function fork(original: Caller, namespace: string, { to, at, user_id }: ForkBody, idempotency: Idempotency | null) {
  const { tenant, principal } = onBehalf(original, { user_id }, 'pointer');
  const scope = scopeOf(principal);
  const seq = at && (await tenant.read((db) => momentOf(db, tenant.id, at))).seq;
  const outcome = await forkState(tenant, { namespace, to, seq, scope, event: eventBy(actorOf(principal)) }, idempotency);
  assertWritten(outcome);
  return { body: outcome.made!['snapshots/0'] as ForkResult, headers: replayHeaders(outcome.status === 'replay') };
}

async function diff({ tenant, principal }: Caller, name: string, { to, namespace, limit, cursor }: DiffQuery) {
  const after = (cursor === undefined ? ['', ''] : decodeCursor(cursor, ['string', 'string'])) as [string, string];
  const visibility = visibilityOfLists(principal);
  // a trim must not remove what the moments need between the statements
  return tenant.snapshot(async (db) => {
    const moments = {
      from: await momentOf(db, tenant.id, { name }),
      to: to ? await momentOf(db, tenant.id, to) : await readNow(db, tenant.id),
    };
    const rows = await compareState(db, tenant.id, { namespace, after, ...moments, limit: limit + 1 }, visibility);
    const page = toPage(rows, limit, (row) => [row.namespace, row.key]);
    if (page.next_cursor !== null) return page;
    const end = await endOfScan(db, tenant.id, { namespace, after }, visibility);
    return end ? { ...page, next_cursor: encodeCursor([end.namespace, end.key]), scanned_upto: end } : page;
  });
}
