import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { compileFilter, type Filter } from '../filter/index.ts';
import type { Sealed } from '../seal.ts';
import type { Delivery, Webhook } from './schemas.ts';

const columns = `w.webhook_id, w.url, w.description, w.filter -> 'given' as filter, w.channels, w.user_ids,
  case when 'high' = any (w.sensitivities) then 'high' when 'low' = any (w.sensitivities) then 'low' else 'none' end as sensitivity,
  w.active, w.disabled_reason, (
    select d.error from webhook_deliveries d
    where d.tenant_id = w.tenant_id and d.webhook_id = w.webhook_id and d.state = 'retrying' and d.seq > w.cursor order by d.seq limit 1
  ) as last_error, w.cursor, w.attempts, w.retry_at, w.version, w.created_by, w.created_at, w.updated_at`;
const deliveryColumns = 'd.event_id, d.seq, d.kind, d.state, d.attempts, d.status_code, d.error, d.duration_ms, d.attempted_at';

export const MAX_WEBHOOKS = 20;

/** The settings of a webhook, without its position in the log. */
export interface WebhookSettings {
  url: string;
  description: string;
  filter: Filter | null;
  channels: string[];
  sensitivities: string[];
  user_ids: string[];
  active: boolean;
}

/** Returns undefined if the tenant has too many webhooks. Locks the tenant's row, so that concurrent inserts cannot exceed the limit. */
export async function insertWebhook(
  db: Db,
  tenant_id: string,
  settings: WebhookSettings,
  created: { webhook_id: string; secret: Sealed; created_by: string; after: number | undefined },
): Promise<Webhook | undefined> {
  await db.run('select from tenants where tenant_id = $1 for no key update', [tenant_id]);
  return db.row(
    `insert into webhooks as w (
       tenant_id, webhook_id, url, description, filter, channels, sensitivities, user_ids, active, secret, created_by, cursor)
     select $1, $2, $3, $4, $5::jsonb, $6::text[], $7::text[], $8::text[], $9, $10::jsonb, $11, least($12::bigint, c.last_seq)
     from tenant_clocks c
     where c.tenant_id = $1 and (select count(*) from webhooks where tenant_id = $1) < ${MAX_WEBHOOKS}
     returning ${columns}`,
    [tenant_id, created.webhook_id, ...settingsValues(settings), created.secret, created.created_by, created.after],
  );
}

const settingsValues = (settings: WebhookSettings): unknown[] => [
  settings.url,
  settings.description,
  settings.filter,
  settings.channels,
  settings.sensitivities,
  settings.user_ids,
  settings.active,
];

export const listWebhooks = (db: Db, tenant_id: string, after: string, limit: number): Promise<Webhook[]> =>
  db.rows(`select ${columns} from webhooks w where w.tenant_id = $1 and w.webhook_id > $2 order by w.webhook_id limit $3`, [
    tenant_id,
    after,
    limit,
  ]);

export const findWebhook = (db: Db, tenant_id: string, webhook_id: string): Promise<Webhook | undefined> =>
  db.row(`select ${columns} from webhooks w where w.tenant_id = $1 and w.webhook_id = $2`, [tenant_id, webhook_id]);

export const lockWebhook = (
  db: Db,
  tenant_id: string,
  webhook_id: string,
): Promise<(WebhookSettings & { version: number }) | undefined> =>
  db.row(
    `select url, description, filter, channels, sensitivities, user_ids, active, version
     from webhooks where tenant_id = $1 and webhook_id = $2 for update`,
    [tenant_id, webhook_id],
  );

/** Ends the lease, so that no daemon continues with the old settings. A failed event is retried at once. */
export const updateWebhook = (db: Db, tenant_id: string, webhook_id: string, settings: WebhookSettings): Promise<number> =>
  db.run(
    `update webhooks set
       url = $3, description = $4, filter = $5::jsonb, channels = $6::text[], sensitivities = $7::text[],
       user_ids = $8::text[], active = $9, disabled_reason = case when $9 then null else disabled_reason end,
       attempts = 0, retry_at = null, due_at = now(), lease_id = lease_id + 1, lease_until = null, version = version + 1, updated_at = now()
     where tenant_id = $1 and webhook_id = $2`,
    [tenant_id, webhook_id, ...settingsValues(settings)],
  );

export const deleteWebhook = (db: Db, tenant_id: string, webhook_id: string): Promise<number> =>
  db.run('delete from webhooks where tenant_id = $1 and webhook_id = $2', [tenant_id, webhook_id]);

/** The previous secret also signs for a day, so that receivers can switch. */
export const updateSecret = (db: Db, tenant_id: string, webhook_id: string, secret: Sealed): Promise<number> =>
  db.run(
    `update webhooks set
       secret = $3::jsonb, old_secret = secret, old_secret_until = now() + interval '1 day',
       due_at = coalesce(retry_at, now()), lease_id = lease_id + 1, lease_until = null, version = version + 1, updated_at = now()
     where tenant_id = $1 and webhook_id = $2`,
    [tenant_id, webhook_id, secret],
  );

export const listDeliveries = (
  db: Db,
  tenant_id: string,
  webhook_id: string,
  { state, before, limit }: { state: string | undefined; before: number | undefined; limit: number },
): Promise<Delivery[]> =>
  db.rows(
    `select ${deliveryColumns} from webhook_deliveries d
     where d.tenant_id = $1 and d.webhook_id = $2 and ($3::text is null or d.state = $3) and ($4::bigint is null or d.seq < $4)
     order by d.seq desc
     limit $5`,
    [tenant_id, webhook_id, state, before, limit],
  );

/** Marks a completed or dead delivery for replay. The caller has locked the webhook. `readOnly`: only reads it, for an idempotent replay. */
export async function replayDelivery(
  db: Db,
  tenant_id: string,
  webhook_id: string,
  event_id: string,
  readOnly: boolean,
): Promise<Delivery | undefined> {
  if (readOnly)
    return db.row(
      `select ${deliveryColumns} from webhook_deliveries d where d.tenant_id = $1 and d.webhook_id = $2 and d.event_id = $3`,
      [tenant_id, webhook_id, event_id],
    );
  const replayed = await db.row<Delivery>(
    `update webhook_deliveries d set state = 'replaying'
     where d.tenant_id = $1 and d.webhook_id = $2 and d.event_id = $3 and d.state <> 'retrying'
     returning ${deliveryColumns}`,
    [tenant_id, webhook_id, event_id],
  );
  if (replayed)
    await db.run('update webhooks set replaying = true, due_at = now() where tenant_id = $1 and webhook_id = $2', [
      tenant_id,
      webhook_id,
    ]);
  return replayed;
}

/** A webhook that this daemon has leased. */
export interface LeasedWebhook {
  webhook_id: string;
  url: string;
  filter: Filter | null;
  channels: Webhook['channels'];
  sensitivities: string[];
  user_ids: string[];
  secret: Sealed;
  old_secret: Sealed | null;
  cursor: number;
  attempts: number;
  replaying: boolean;
  /** The next attempt is not due yet; only replays are. */
  waiting: boolean;
  lease_id: number;
}

export interface DueWebhook {
  tenant_id: string;
  webhook_id: string;
  /** Its receiver took long in the last turn. */
  slow: boolean;
}

/** Any tenant can call the function: it reads the due webhooks of all tenants and returns only their ids. */
export const listDue = (anyTenant: Tenant, per_tenant: number, limit: number): Promise<DueWebhook[]> =>
  anyTenant.call('select tenant_id, webhook_id, slow from list_due_webhooks($1, $2)', [per_tenant, limit]);

/** Marks webhooks whose log has grown, of these tenants or of all. Returns the tenants among them that have webhooks. */
export async function markDue(anyTenant: Tenant, tenants: string[] | null): Promise<string[]> {
  const rows = await anyTenant.call<{ tenant_id: string }>('select m as tenant_id from mark_due_webhooks($1) m', [tenants]);
  return rows.map(({ tenant_id }) => tenant_id);
}

export const leaseWebhook = async (tenant: Tenant, webhook_id: string, lease_ms: number): Promise<LeasedWebhook | undefined> => {
  const leased = await tenant.write((db) =>
    db.row<LeasedWebhook>(
      `update webhooks set
         lease_id = lease_id + 1, lease_until = now() + $3::int * interval '1 millisecond',
         due_at = now() + $3::int * interval '1 millisecond'
       where tenant_id = $1 and webhook_id = $2 and active and (lease_until is null or lease_until < now())
       returning
         webhook_id, url, filter, channels, sensitivities, user_ids, secret,
         case when old_secret_until > now() then old_secret end as old_secret, cursor, attempts, replaying,
         coalesce(retry_at > now(), false) as waiting, lease_id`,
      [tenant.id, webhook_id, lease_ms],
    ),
  );
  // compiled again, because an older release may have stored the filter
  return leased && { ...leased, filter: leased.filter && compileFilter(leased.filter.given) };
};

export const releaseWebhook = (tenant: Tenant, { webhook_id, lease_id }: LeasedWebhook, slow: boolean): Promise<unknown> =>
  tenant.call('select release_webhook($1, $2, $3, $4)', [tenant.id, webhook_id, lease_id, slow]);

export interface Settlement {
  /** The new position if the event is completed; null if the position is unchanged. */
  cursor: number | null;
  retry_ms: number | null;
  /** `tries`: 1 for an attempt, 0 if none could be made. */
  delivery: (Omit<Delivery, 'attempts' | 'attempted_at'> & { tries: 0 | 1 }) | null;
  disable: string | null;
}

/** Returns false if another daemon has the lease. Nothing was written then. */
export async function settleAttempt(
  tenant: Tenant,
  { webhook_id, lease_id }: LeasedWebhook,
  lease_ms: number,
  to: Settlement,
): Promise<boolean> {
  const [row] = await tenant.call<{ leased: boolean }>('select settle_webhook($1, $2, $3, $4, $5, $6, $7::jsonb, $8) as leased', [
    tenant.id,
    webhook_id,
    lease_id,
    lease_ms,
    to.cursor,
    to.retry_ms,
    to.delivery && JSON.stringify(to.delivery),
    to.disable,
  ]);
  return row!.leased;
}

export const listReplays = (
  tenant: Tenant,
  webhook_id: string,
  limit: number,
): Promise<{ seq: number; event_id: string; kind: string }[]> =>
  tenant.read((db) =>
    db.rows(
      `select seq, event_id, kind from webhook_deliveries
       where tenant_id = $1 and webhook_id = $2 and state = 'replaying' order by seq limit $3`,
      [tenant.id, webhook_id, limit],
    ),
  );

/** Locks the row first, so that a replay requested meanwhile is seen. */
export const endReplays = (tenant: Tenant, { webhook_id, lease_id }: LeasedWebhook): Promise<number> =>
  tenant.write(async (db) => {
    await db.run('select from webhooks where tenant_id = $1 and webhook_id = $2 for update', [tenant.id, webhook_id]);
    return db.run(
      `update webhooks set replaying = exists (
         select from webhook_deliveries d where d.tenant_id = $1 and d.webhook_id = $2 and d.state = 'replaying')
       where tenant_id = $1 and webhook_id = $2 and lease_id = $3`,
      [tenant.id, webhook_id, lease_id],
    );
  });

/** Deletes old deliveries. Keeps delivered ones for a week and others for a month, but at most the newest 10,000 of each webhook. */
export const sweepDeliveries = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from webhook_deliveries d
       where d.tenant_id = $1 and (d.webhook_id, d.seq) in (
         select o.webhook_id, o.seq
         from webhook_deliveries o
         join webhooks w on w.tenant_id = $1 and w.webhook_id = o.webhook_id
         left join lateral (
           select n.seq from webhook_deliveries n
           where n.tenant_id = $1 and n.webhook_id = w.webhook_id order by n.seq desc offset 10000 limit 1
         ) oldest on true
         where o.tenant_id = $1 and o.state <> 'retrying' and (
           o.attempted_at < now() - interval '30 days' or (o.state = 'delivered' and o.attempted_at < now() - interval '7 days')
           or o.seq <= oldest.seq)
         limit $2)`,
      [tenant.id, limit],
    ),
  );
