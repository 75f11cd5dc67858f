import {
  actorOf,
  type Caller,
  isAdmin,
  onBehalf,
  requireChannel,
  requireNamedSubject,
  requireSubjectFor,
  route,
  visibilityById,
} from '../auth/index.ts';
import { findReplay } from '../db/idempotency.ts';
import { type EventRow, type Outcome, unitOf } from '../db/unit.ts';
import { etagOf, expectedVersion, ifMatchOf } from '../http/etag.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { decodeCursor, pageOf, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import { passagesOf } from '../passages/index.ts';
import { editEntry, isEditable } from './entry.ts';
import { type Edit, edit, editParams, listQuery, type NewEdit, newEdit, readQuery, type Status, writeQuery } from './schemas.ts';
import { decideEdit, findTarget, type NewRow, proposeEdit, type Reader, readEdit, select, type TargetRow } from './sql.ts';

const tagged = { tag: 'Edits', limit: 'v1' } as const;

export const editRoutes = [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/edits',
    operation: 'proposeEdit',
    summary: 'Propose an edit',
    description:
      'An edit retracts, amends, quarantines, attenuates or blocks a passage, an event or a memory. It takes effect when an admin approves it. The original stays in the log.',
    access: 'write',
    audit: 'edit.proposed',
    idempotent: true,
    query: writeQuery,
    body: newEdit,
    freeText: ['reason', 'patch/text'],
    success: { status: 201, description: 'The edit, which is pending unless `auto_approve` is true', schema: edit },
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'too-large', 'quota-exceeded'],
    handle: async ({ caller, query, body, idempotency }) => {
      const { proposed, replay } = await propose(onBehalf(caller, query), body, idempotency);
      const headers = { Location: `/v1/edits/${proposed.edit_id}`, ...headersOf(proposed, replay) };
      return { body: proposed, headers, audit: { edit_id: proposed.edit_id, ...factsOf(proposed, replay) } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/edits',
    operation: 'listEdits',
    summary: 'List edits, newest first',
    description: 'Returns the edits of targets that you can read.',
    access: 'read',
    query: listQuery,
    success: { status: 200, description: 'A page of edits', schema: pageOf(edit) },
    problems: ['validation'],
    handle: async ({ caller: authenticated, query: { cursor, limit, user_id, all_users, ...filter } }) => {
      const caller = onBehalf(authenticated, { user_id, all_users });
      requireNamedSubject(caller.principal);
      const before = cursor === undefined ? undefined : Number(decodeCursor(cursor, ['number'])[0]);
      const rows = await caller.tenant.read((db) =>
        select(db, caller.tenant.id, readerOf(caller), { ...filter, before, limit: limit + 1 }),
      );
      return { body: toPage(rows, limit, (row) => [row.seq]) };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/edits/{edit_id}',
    operation: 'readEdit',
    summary: 'Get an edit',
    access: 'read',
    params: editParams,
    query: readQuery,
    success: { status: 200, description: 'The edit', schema: edit },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const current = await mustRead(onBehalf(caller, query), params.edit_id);
      return { body: current, headers: headersOf(current) };
    },
  }),
  decision('approve', 'approved', 'Approve a pending edit', 'The edit applies to all reads immediately.'),
  decision('reject', 'rejected', 'Reject a pending edit'),
  decision('revert', 'reverted', 'Revert an approved edit', 'Other approved edits of the same target remain in effect.'),
];

/** Returns a route by which an admin decides on an edit. */
function decision(verb: string, status: Status, summary: string, description = '') {
  return route({
    ...tagged,
    method: 'POST',
    path: `/v1/edits/{edit_id}/${verb}`,
    operation: `${verb}Edit`,
    summary,
    description,
    access: 'admin',
    audit: `edit.${status}`,
    idempotent: true,
    params: editParams,
    query: writeQuery,
    success: { status: 200, description: 'The updated edit', schema: edit },
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'precondition-failed', 'quota-exceeded'],
    handle: async ({ caller: original, params, query, req, idempotency }) => {
      const caller = onBehalf(original, query);
      const current = await mustRead(caller, params.edit_id);
      requireChannel(caller.principal, current.channel);
      const about = { memory_id: null, user_id: null, agent_id: null, project_id: null, ...current };
      const entries = [editEntry(caller.principal, status, about, current)];
      const unit = unitOf(idempotency, entries, bytesOf(entries));
      const version = expectedVersion(ifMatchOf(req), current);
      const outcome = await decideEdit(caller.tenant, unit, current.edit_id, { status, by: actorOf(caller.principal), version });
      assertWritten(outcome);
      const now = await mustRead(caller, current.edit_id);
      const replay = outcome.status === 'replay';
      return { body: now, headers: headersOf(now, replay), audit: factsOf(now, replay) };
    },
  });
}

const headersOf = (of: Edit, replay = false) => ({ ETag: etagOf(of), ...replayHeaders(replay) });

const factsOf = ({ target, op, status }: Edit, replay: boolean) => ({ target, op, status, ...(replay && { replay }) });

const readerOf = ({ principal }: Caller): Reader => ({
  visibility: visibilityById(principal),
  admin: isAdmin(principal),
  principal: principal.id,
});

async function mustRead(caller: Caller, edit_id: string): Promise<Edit> {
  const current = await caller.tenant.read((db) => readEdit(db, caller.tenant.id, readerOf(caller), { edit_id }));
  if (!current) throw new Problem('not-found', 'There is no edit with this id.');
  requireSubjectFor(caller.principal, current);
  return current;
}

async function propose(
  caller: Caller,
  body: NewEdit,
  idempotency: Idempotency | null,
): Promise<{ proposed: Edit; replay: boolean }> {
  const { tenant, principal } = caller;
  const reader = readerOf(caller);
  if (body.auto_approve && !reader.admin) throw new Problem('forbidden', 'Only admins can approve an edit.');
  const text = body.op === 'amend' ? body.patch.text : '';
  const { known, target } = await tenant.read(async (db) => ({
    known: idempotency ? await findReplay(db, tenant.id, idempotency) : undefined,
    target: await findTarget(db, tenant.id, reader, body.target, text),
  }));
  // a retry is answered before any check that the first attempt did not face
  if (known) return answer(caller, reader, known);
  if (!target || !isEditable(target.kind)) throw new Problem('not-found', 'There is no passage, event or memory with this id.');
  requireSubjectFor(principal, target);
  requireChannel(principal, target.channel);
  const row = rowOf(caller, body, target);
  const entries = [editEntry(principal, 'proposed', target, row)];
  if (body.auto_approve) entries.push(editEntry(principal, 'approved', target, row));
  const outcome = await proposeEdit(tenant, unitOf(idempotency, entries, bytesOf(entries, row)), row, {
    user_id: principal.user_id,
    admin: reader.admin,
  });
  return answer(caller, reader, outcome);
}

async function answer({ tenant }: Caller, reader: Reader, outcome: Outcome) {
  assertWritten(outcome);
  const proposed = await tenant.read((db) => readEdit(db, tenant.id, reader, { seq: outcome.seq }));
  if (!proposed) throw new Problem('gone', 'The edit that was proposed with this Idempotency-Key no longer exists.');
  return { proposed, replay: outcome.status === 'replay' };
}

function rowOf({ principal }: Caller, body: NewEdit, target: TargetRow): NewRow {
  const { kind, actor_id, tags, content, ...about } = target;
  const by = actorOf(principal);
  const passages = body.op === 'amend' ? passagesOf({ kind, actor_id, tags, content }) : null;
  if (passages && about.ordinal !== null && passages.length > 1)
    throw new Problem('validation', 'The text is too long for a passage; amend the event instead.', {
      errors: [
        { pointer: '#/patch/text', detail: 'must fit into one passage (about 190 tokens), because the event has other passages' },
      ],
    });
  return {
    ...about,
    edit_id: newId('edt'),
    status: body.auto_approve ? 'approved' : 'pending',
    target: body.target,
    op: body.op,
    reason: body.reason,
    patch: body.patch,
    passages,
    proposed_by: by,
    principal: principal.id,
    decided_by: body.auto_approve ? by : null,
  };
}

/** Returns the bytes that an edit adds to the tenant's stored bytes. */
const bytesOf = (events: EventRow[], row?: NewRow): number => Buffer.byteLength(JSON.stringify([events, row]));
