import { type Caller, route } from '../auth/index.ts';
import { rememberKey } from '../db/idempotency.ts';
import { etagOf, ifMatchOf } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, pageById, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Seal } from '../seal.ts';
import type { Reach } from './address.ts';
import { changeWebhook, createWebhook, isReplay, noWebhook, rotateSecret } from './change.ts';
import {
  deliveryList,
  deliveryPage,
  deliveryParams,
  deliverySchema,
  newWebhook,
  type Webhook,
  webhook,
  webhookBody,
  webhookList,
  webhookPage,
  webhookParams,
  webhookPatch,
} from './schemas.ts';
import { deleteWebhook, findWebhook, listDeliveries, listWebhooks, lockWebhook, replayDelivery } from './sql.ts';

const tagged = { tag: 'Webhooks', limit: 'v1', access: 'admin' } as const;

export interface WebhookNeeds {
  /** Undefined if no encryption key is configured. */
  seal: Seal | undefined;
  reach: Reach;
  /** Called after a change that can make deliveries of the tenant due. */
  wake(tenant_id: string): void;
}

export const webhookRoutes = (needs: WebhookNeeds) => [
  ...createAndReadRoutes(needs),
  ...updateRoutes(needs),
  ...deliveryRoutes(needs),
];

const createAndReadRoutes = (needs: WebhookNeeds) => [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/webhooks',
    operation: 'createWebhook',
    audit: 'webhook.created',
    summary: 'Create a webhook',
    description: 'The service sends matching events to the URL, signed and in the order of `seq`.',
    idempotent: true,
    body: webhookBody,
    freeText: ['description'],
    unredactable: ['url', 'filter', 'user_ids'],
    success: { status: 201, description: 'The webhook. Its secret is shown only in this response', schema: newWebhook },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'],
    handle: async ({ caller, body, idempotency }) => {
      const created = await createWebhook(caller, body, idempotency, needs);
      needs.wake(caller.tenant.id);
      return { body: created, headers: { Location: `/v1/webhooks/${created.webhook_id}`, ETag: etagOf(created) } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/webhooks',
    operation: 'listWebhooks',
    summary: 'List webhooks',
    query: webhookList,
    success: { status: 200, description: 'A page of webhooks, without their secrets', schema: webhookPage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const read = (after: string, count: number) => tenant.read((db) => listWebhooks(db, tenant.id, after, count));
      return { body: await pageById(query, read, (row) => row.webhook_id) };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/webhooks/{webhook_id}',
    operation: 'readWebhook',
    summary: 'Get a webhook and its position in the log',
    params: webhookParams,
    success: { status: 200, description: 'The webhook', schema: webhook },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller, params }) => answer(await read(caller, params.webhook_id), false),
  }),
];

const updateRoutes = (needs: WebhookNeeds) => [
  route({
    ...tagged,
    method: 'PATCH',
    path: '/v1/webhooks/{webhook_id}',
    operation: 'changeWebhook',
    audit: 'webhook.changed',
    summary: 'Update, pause or resume a webhook',
    description: 'A webhook that is resumed continues at its position in the log.',
    idempotent: true,
    params: webhookParams,
    body: webhookPatch,
    freeText: ['description'],
    unredactable: ['url', 'filter', 'user_ids'],
    success: { status: 200, description: 'The updated webhook', schema: webhook },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict', 'precondition-failed'],
    handle: async ({ caller, params, body, req, idempotency }) => {
      const replay = await changeWebhook(caller, params.webhook_id, body, ifMatchOf(req), idempotency, needs);
      needs.wake(caller.tenant.id);
      return answer(await read(caller, params.webhook_id), replay);
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/webhooks/{webhook_id}',
    operation: 'deleteWebhook',
    audit: 'webhook.deleted',
    summary: 'Delete a webhook and its delivery history',
    idempotent: true,
    params: webhookParams,
    success: { status: 204, description: 'The webhook was deleted' },
    problems: ['forbidden', 'not-found', 'conflict'],
    handle: ({ caller: { tenant }, params, idempotency }) =>
      tenant.write(async (db) => {
        if (await isReplay(db, tenant.id, idempotency)) return { headers: replayHeaders(true) };
        if ((await deleteWebhook(db, tenant.id, params.webhook_id)) === 0) throw noWebhook();
        if (idempotency) await rememberKey(db, tenant.id, idempotency);
        return {};
      }),
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/webhooks/{webhook_id}/rotate',
    operation: 'rotateWebhookSecret',
    audit: 'webhook.secret_rotated',
    summary: 'Rotate the secret of a webhook',
    description: 'Deliveries are signed with both secrets for one day.',
    idempotent: true,
    params: webhookParams,
    success: { status: 200, description: 'The webhook. Its new secret is shown only in this response', schema: newWebhook },
    problems: ['forbidden', 'not-found', 'conflict'],
    handle: async ({ caller, params, idempotency }) => {
      const secret = await rotateSecret(caller, params.webhook_id, idempotency, needs);
      const view = await read(caller, params.webhook_id);
      return { body: { ...view, secret }, headers: { ETag: etagOf(view) } };
    },
  }),
];

const deliveryRoutes = ({ wake }: WebhookNeeds) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/webhooks/{webhook_id}/deliveries',
    operation: 'listWebhookDeliveries',
    summary: 'List deliveries of a webhook, newest first',
    description: 'Use `state=dead` to list the dead-letter queue.',
    params: webhookParams,
    query: deliveryList,
    success: { status: 200, description: 'A page of deliveries, one per event', schema: deliveryPage },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const { tenant } = caller;
      await read(caller, params.webhook_id);
      const before = query.cursor ? Number(decodeCursor(query.cursor, ['number'])[0]) : undefined;
      const page = { state: query.state, before, limit: query.limit + 1 };
      const rows = await tenant.read((db) => listDeliveries(db, tenant.id, params.webhook_id, page));
      return { body: toPage(rows, query.limit, (row) => [row.seq]) };
    },
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/webhooks/{webhook_id}/deliveries/{event_id}/replay',
    operation: 'replayWebhookDelivery',
    audit: 'webhook.replayed',
    summary: 'Redeliver an event',
    description: 'Sends the event again, in its current state.',
    idempotent: true,
    params: deliveryParams,
    success: { status: 202, description: 'The delivery was queued, in addition to new events', schema: deliverySchema },
    problems: ['forbidden', 'not-found', 'conflict'],
    handle: async ({ caller: { tenant }, params, idempotency }) => {
      const found = await tenant.write(async (db) => {
        if (!(await lockWebhook(db, tenant.id, params.webhook_id))) throw noWebhook();
        const replay = await isReplay(db, tenant.id, idempotency);
        const row = await replayDelivery(db, tenant.id, params.webhook_id, params.event_id, replay);
        if (!row)
          throw new Problem('not-found', 'The webhook has not processed this event, or its delivery is no longer stored.');
        if (idempotency && !replay) await rememberKey(db, tenant.id, idempotency);
        return { row, replay };
      });
      wake(tenant.id);
      return { body: found.row, headers: replayHeaders(found.replay) };
    },
  }),
];

async function read({ tenant }: Caller, webhook_id: string): Promise<Webhook> {
  const found = await tenant.read((db) => findWebhook(db, tenant.id, webhook_id));
  if (!found) throw noWebhook();
  return found;
}

const answer = (view: Webhook, replay: boolean) => ({ body: view, headers: { ETag: etagOf(view), ...replayHeaders(replay) } });
