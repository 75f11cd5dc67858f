import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { filter } from '../filter/index.ts';
import { nameOf, onAnyObject } from '../http/name.ts';
import { pageOf } from '../http/page.ts';

const fields = {
  url: z
    .string()
    .min(1)
    .max(2000)
    .refine((url) => url === '' || URL.canParse(url), 'must be an absolute URL')
    .describe('An `https://` URL with a public address.'),
  description: z.string().max(500),
  filter: filter.nullable(),
  channels: z
    .array(z.enum(channels))
    .min(1)
    .max(4)
    .describe('Sends events of these channels. `private` must be named explicitly.'),
  user_ids: z
    .array(nameOf())
    .min(1)
    .max(100)
    .describe('With the channel `private`: the users whose private events are sent. The default is the caller’s subject.'),
  sensitivity: z
    .enum(['none', 'low', 'high'])
    .describe('The maximum sensitivity of events to send. `high` requires the channel team or private.'),
  active: z.boolean(),
};

export const webhookBody = z
  .strictObject({
    url: fields.url,
    description: fields.description.default(''),
    filter: fields.filter.default(null),
    channels: fields.channels.default(['public', 'team', 'agent']),
    user_ids: fields.user_ids.optional(),
    sensitivity: fields.sensitivity.default('low'),
    active: fields.active.default(true),
    after: z.int().min(0).max(1e15).optional().describe('Starts after this `seq`. By default, only new events are sent.'),
  })
  .meta({ id: 'NewWebhook' });
export type WebhookBody = z.output<typeof webhookBody>;

export const webhookPatch = z
  .strictObject({
    url: fields.url.optional(),
    description: fields.description.optional(),
    filter: fields.filter.optional(),
    channels: fields.channels.optional(),
    user_ids: fields.user_ids.optional(),
    sensitivity: fields.sensitivity.optional(),
    active: fields.active.optional(),
  })
  .refine((patch) => Object.keys(patch).length > 0, { message: 'must contain at least one field', when: onAnyObject });
export type WebhookPatch = z.output<typeof webhookPatch>;

export const webhook = z
  .object({
    webhook_id: z.string(),
    url: z.string(),
    description: z.string(),
    filter: z.record(z.string(), z.unknown()).nullable().describe('Events that match it are sent; null: all events.'),
    channels: z.array(z.enum(channels)).describe('Channels whose events are sent.'),
    user_ids: z.array(z.string()).describe('Users whose private events are sent, if `channels` contains `private`.'),
    sensitivity: z.enum(['none', 'low', 'high']).describe('The maximum sensitivity of events to send.'),
    active: z.boolean().describe('False while nothing is sent: a client or the service disabled the webhook.'),
    disabled_reason: z.string().nullable().describe('Why the service disabled the webhook.'),
    last_error: z.string().nullable().describe('Why the event after the cursor was not delivered yet.'),
    cursor: z.int().describe('The last `seq` that has been processed.'),
    attempts: z.int().describe('Number of failed attempts for the event after the cursor.'),
    retry_at: z.string().nullable().describe('Time of the next attempt after a failure, or null.'),
    version: z.int(),
    created_by: z.string(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Webhook' });
export type Webhook = z.output<typeof webhook>;
export const newWebhook = webhook
  .extend({ secret: z.string().describe('Signs the deliveries. Shown only in this response.') })
  .meta({ id: 'WebhookWithSecret' });
export const webhookPage = pageOf(webhook);

const webhook_id = nameOf();
export const webhookParams = z.strictObject({ webhook_id });
export const deliveryParams = z.strictObject({ webhook_id, event_id: nameOf() });
const page = { limit: z.coerce.number().int().min(1).max(1000).default(50), cursor: z.string().max(500).optional() };
export const webhookList = z.strictObject(page);
export const deliveryList = z.strictObject({
  state: z
    .enum(['delivered', 'retrying', 'dead', 'replaying'])
    .optional()
    .describe('Only deliveries in this state. `dead` deliveries are not retried until they are replayed.'),
  ...page,
});

const delivery = z
  .object({
    event_id: z.string(),
    seq: z.int(),
    kind: z.string(),
    state: z
      .enum(['delivered', 'retrying', 'dead', 'replaying'])
      .describe('`dead`: given up until it is replayed; `replaying`: a replay is requested.'),
    attempts: z.int().describe('Number of attempts so far.'),
    status_code: z.int().nullable().describe('Status of the last response, or null if there was none.'),
    error: z.string().nullable().describe('Why the last attempt failed, or null.'),
    duration_ms: z.int().nullable().describe('Duration of the last attempt in milliseconds.'),
    attempted_at: z.string().describe('Time of the last attempt.'),
  })
  .meta({ id: 'WebhookDelivery' });
export type Delivery = z.output<typeof delivery>;
export const deliverySchema = delivery;
export const deliveryPage = pageOf(delivery);
