import { route } from '../auth/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, encodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { type ActionNeeds, authorise, decide, settle, statusOf } from './actions.ts';
import { readerOf, termsFor } from './rights.ts';
import {
  action,
  actionBody,
  actionPage,
  actionParams,
  authorisation,
  decideBody,
  deferredQuery,
  mandateParams,
  settleBody,
  settlement,
} from './schemas.ts';
import { type ActionRow, findAction, listDeferred } from './sql.ts';

const tagged = { tag: 'Mandates', limit: 'v1' } as const;
/** The arguments are hashed, and their schema is evaluated, on the event loop. */
const MAX_ACTION_BYTES = 131_072;
const WRITE_PROBLEMS = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict'] as const;

const authoriseAction = (needs: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates/{mandate_id}/actions',
    operation: 'authoriseAction',
    summary: 'Authorise an action',
    description:
      'Checks the action against the mandate and those that it was delegated from, and reserves its cost. A refusal has `code` and `hard` (false only for rate limits), and writes nothing. `Action-Repeated: true` marks the stored answer to an action id that another request has used.',
    access: 'write',
    fastPath: true,
    idempotent: true,
    maxBytes: MAX_ACTION_BYTES,
    params: mandateParams,
    body: actionBody,
    unredactable: ['action_id', 'tool', 'model'],
    success: { status: 201, description: 'The action is allowed', schema: authorisation },
    otherAnswers: [{ status: 202, description: 'The action waits for the decision of an admin', schema: authorisation }],
    problems: [...WRITE_PROBLEMS, 'rate-limited', 'quota-exceeded'],
    handle: async ({ caller, params, body, idempotency }) => {
      const { answer, replay, repeated } = await authorise(needs, caller, params.mandate_id, body, idempotency);
      const headers = { ...replayHeaders(replay), ...(repeated && { 'Action-Repeated': 'true' }) };
      return { status: statusOf(answer), body: answer, headers };
    },
  });

const viewOf = ({ args, outcome, code, ...rest }: ActionRow) => ({
  ...rest,
  ...(args && { args }),
  ...(outcome && { outcome }),
  ...(code && { code }),
});

const readAction = (needs: ActionNeeds) =>
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/mandates/{mandate_id}/actions/{action_id}',
    operation: 'readAction',
    summary: 'Get an action',
    description: 'Any scope suffices, so that a key which may only write can act under a mandate.',
    access: 'any',
    params: actionParams,
    success: { status: 200, description: 'The action', schema: action },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params }) => {
      const { mandate_id } = await termsFor(needs.cache, caller, params.mandate_id);
      const { tenant } = caller;
      const row = await tenant.read((db) => findAction(db, tenant.id, mandate_id, params.action_id));
      if (!row) throw new Problem('not-found', 'The mandate has no action with this id.');
      return { body: viewOf(row) };
    },
  });

const listOfDeferred = route({
  ...tagged,
  method: 'GET',
  path: '/v1/actions',
  operation: 'listActions',
  summary: 'List the actions that wait for a decision',
  description:
    'Admins see those of all mandates, others those under mandates that are bound to their subject. By mandate and action.',
  access: 'read',
  query: deferredQuery,
  success: { status: 200, description: 'A page of actions', schema: actionPage },
  problems: ['validation'],
  handle: async ({ caller: { tenant, principal }, query: { cursor, limit, mandate_id } }) => {
    const after = (cursor === undefined ? ['', ''] : decodeCursor(cursor, ['string', 'string'])) as [string, string];
    const rows = await tenant.read((db) =>
      listDeferred(db, tenant.id, readerOf(principal), { mandate_id, after, count: limit + 1 }),
    );
    const placeOf = (row: ActionRow) => [row.mandate_id, row.action_id];
    const { data, ...page } = toPage(rows, limit, placeOf);
    // the page ended because of its size
    const next_cursor = rows.length > 0 && rows.length < rows[0]!.listed ? encodeCursor(placeOf(rows.at(-1)!)) : page.next_cursor;
    return { body: { ...page, data: data.map(({ listed: _, ...row }) => viewOf(row)), next_cursor } };
  },
});

const settleAction = (needs: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates/{mandate_id}/actions/{action_id}/settle',
    operation: 'settleAction',
    summary: 'Settle an action',
    description:
      'Ends the reservation and charges the action by the rule of the mandate. A settlement is never refused for its amount or because it is late.',
    access: 'write',
    fastPath: true,
    idempotent: true,
    params: actionParams,
    body: settleBody,
    success: { status: 200, description: 'The charge', schema: settlement },
    problems: [...WRITE_PROBLEMS],
    handle: async ({ caller, params, body, idempotency }) => {
      const { answer, replay } = await settle(needs, caller, params, body, idempotency);
      return { body: answer, headers: replayHeaders(replay) };
    },
  });

const decideAction = (needs: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates/{mandate_id}/actions/{action_id}/decide',
    operation: 'decideAction',
    summary: 'Decide a deferred action',
    description:
      'Allows or denies an action, once. The requester cannot decide. An admin who is logged in can decide what a key of theirs requested.',
    access: 'admin',
    audit: 'action.decided',
    idempotent: true,
    params: actionParams,
    body: decideBody,
    freeText: ['note'],
    success: { status: 201, description: 'The action is allowed', schema: authorisation },
    otherAnswers: [{ status: 200, description: 'The action is denied', schema: authorisation }],
    problems: [...WRITE_PROBLEMS],
    handle: async ({ caller, params, body, idempotency }) => {
      const { answer, replay } = await decide(needs, caller, params, body, idempotency);
      return { status: answer.decision === 'deny' ? 200 : 201, body: answer, headers: replayHeaders(replay) };
    },
  });

export const actionRoutes = (needs: ActionNeeds) => [
  authoriseAction(needs),
  listOfDeferred,
  readAction(needs),
  settleAction(needs),
  decideAction(needs),
];
