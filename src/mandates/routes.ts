import { agentOf, route } from '../auth/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import type { ActionNeeds } from './actions.ts';
import { delegatedOf, issueMandate, mandateOf, readMandate, viewOf } from './issue.ts';
import { readerOf, withTerms } from './rights.ts';
import {
  delegateBody,
  MAX_DEFINITION,
  mandate,
  mandateBody,
  mandateList,
  mandatePage,
  mandateParams,
  revokeBody,
} from './schemas.ts';
import { listMandates } from './sql.ts';
import { commitChange, controlEvent, within } from './write.ts';

const tagged = { tag: 'Mandates', limit: 'v1' } as const;
const NAMES = ['mandate_id', 'agent_id', 'principal', 'allowed_tools', 'denied_tools', 'tool_policies', 'charging', 'pricing'];
const WRITE_PROBLEMS = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict'] as const;

const createMandate = ({ mac }: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates',
    operation: 'createMandate',
    summary: 'Create a mandate',
    description: 'States what an agent may do and spend. A mandate never changes: revoke it and create another one.',
    access: 'admin',
    audit: 'mandate.created',
    idempotent: true,
    body: mandateBody,
    maxBytes: MAX_DEFINITION,
    unredactable: NAMES,
    success: { status: 201, description: 'The mandate', schema: mandate },
    problems: [...WRITE_PROBLEMS, 'quota-exceeded'],
    handle: async ({ caller, body, idempotency }) => {
      agentOf(caller.principal, body.agent_id);
      const { answer, replay } = await issueMandate(mac, caller, mandateOf(caller, body), idempotency);
      return { body: await readMandate(caller, String(answer.mandate_id)), headers: replayHeaders(replay) };
    },
  });

const listOfMandates = route({
  ...tagged,
  method: 'GET',
  path: '/v1/mandates',
  operation: 'listMandates',
  summary: 'List mandates with their usage',
  description: 'Admins see all mandates, others those that are bound to their subject.',
  access: 'read',
  query: mandateList,
  success: { status: 200, description: 'A page of mandates, by id', schema: mandatePage },
  problems: ['validation'],
  handle: async ({ caller: { tenant, principal }, query: { cursor, limit, ...filter } }) => {
    const after = cursor === undefined ? '' : String(decodeCursor(cursor, ['string'])[0]);
    const rows = await tenant.read((db) =>
      listMandates(db, tenant.id, readerOf(principal), { ...filter, after, count: limit + 1 }),
    );
    const { data, ...page } = toPage(rows, limit, ({ mandate_id }) => [mandate_id]);
    return { body: { data: data.map(viewOf), ...page } };
  },
});

const readOne = route({
  ...tagged,
  method: 'GET',
  path: '/v1/mandates/{mandate_id}',
  operation: 'readMandate',
  summary: 'Get a mandate with its usage',
  description: 'Any scope suffices, so that a key which may only write can act under a mandate.',
  access: 'any',
  params: mandateParams,
  success: { status: 200, description: 'The mandate', schema: mandate },
  problems: ['validation', 'not-found'],
  handle: async ({ caller, params }) => ({ body: await readMandate(caller, params.mandate_id) }),
});

const revokeMandate = ({ cache, record }: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates/{mandate_id}/revoke',
    operation: 'revokeMandate',
    summary: 'Revoke a mandate',
    description: 'Ends the mandate and those that were delegated from it. Actions that are open can still be settled.',
    access: 'admin',
    audit: 'mandate.revoked',
    idempotent: true,
    params: mandateParams,
    body: revokeBody,
    freeText: ['reason'],
    success: { status: 200, description: 'The revoked mandate', schema: mandate },
    problems: [...WRITE_PROBLEMS],
    handle: async ({ caller, params: { mandate_id }, body, idempotency }) => {
      const { tenant } = caller;
      const { replay } = await withTerms(cache, caller, mandate_id, (terms) => {
        const event = controlEvent(caller, terms, 'mandate.revoked', body, { op: 'revoke', ...within(terms) });
        return commitChange(caller, event, idempotency, 0);
      });
      const view = await readMandate(caller, mandate_id);
      // also for a retry, whose first attempt may have failed here
      record(tenant.id, view.revoked_at!, { kind: 'mandate', id: mandate_id, ...body });
      return { body: view, headers: replayHeaders(replay) };
    },
  });

const delegateMandate = ({ cache, mac }: ActionNeeds) =>
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/mandates/{mandate_id}/delegate',
    operation: 'delegateMandate',
    summary: 'Delegate a narrower mandate',
    description:
      'An absent field takes the value of the parent. Actions of the new mandate count against it and every mandate that it was delegated from. Delegating reserves nothing.',
    access: 'write',
    audit: 'mandate.delegated',
    idempotent: true,
    params: mandateParams,
    body: delegateBody,
    maxBytes: MAX_DEFINITION,
    unredactable: NAMES,
    success: { status: 201, description: 'The delegated mandate', schema: mandate },
    problems: [...WRITE_PROBLEMS, 'quota-exceeded'],
    handle: async ({ caller, params, body, idempotency }) => {
      const { answer, replay } = await withTerms(cache, caller, params.mandate_id, (parent) =>
        issueMandate(mac, caller, delegatedOf(parent, body), idempotency),
      );
      // also if it is bound to another principal
      const reader = { ...readerOf(caller.principal), all: true };
      return { body: await readMandate(caller, String(answer.mandate_id), reader), headers: replayHeaders(replay) };
    },
  });

export const mandateRoutes = (needs: ActionNeeds) => [
  createMandate(needs),
  listOfMandates,
  readOne,
  revokeMandate(needs),
  delegateMandate(needs),
];
