import {
  ALL_SUBJECTS,
  channels as allChannels,
  type Caller,
  coversAllSubjects,
  type Principal,
  requireChannel,
} from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Db } from '../db/query.ts';
import { assertVersion, type IfMatch } from '../http/etag.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import type { Seal } from '../seal.ts';
import { normalUrl } from './address.ts';
import type { WebhookNeeds } from './routes.ts';
import type { Webhook, WebhookBody, WebhookPatch } from './schemas.ts';
import { makeSigningSecret, SEAL_PURPOSE } from './sign.ts';
import { insertWebhook, lockWebhook, MAX_WEBHOOKS, updateSecret, updateWebhook, type WebhookSettings } from './sql.ts';

// Creating and changing webhooks.

export const noWebhook = () => new Problem('not-found', 'There is no webhook with this id.');

export const isReplay = async (db: Db, tenant_id: string, idempotency: Idempotency | null): Promise<boolean> =>
  idempotency !== null && (await recallKey(db, tenant_id, idempotency));

export async function createWebhook(
  { tenant, principal }: Caller,
  body: WebhookBody,
  idempotency: Idempotency | null,
  needs: WebhookNeeds,
): Promise<Webhook & { secret: string }> {
  const seal = sealOf(needs);
  const settings = validated(
    principal,
    settingsOf(body, body.user_ids ?? (coversAllSubjects(principal) ? [] : [principal.subject])),
    needs,
  );
  const webhook_id = newId('whk');
  const secret = makeSigningSecret();
  const sealed = seal.seal(secret, SEAL_PURPOSE, `${tenant.id}/${webhook_id}`);
  const created = await tenant.write(async (db) => {
    if (await isReplay(db, tenant.id, idempotency)) throw shownOnce();
    const row = await insertWebhook(db, tenant.id, settings, {
      webhook_id,
      secret: sealed,
      created_by: principal.user_id,
      after: body.after,
    });
    if (!row) throw new Problem('conflict', `A tenant can have at most ${MAX_WEBHOOKS} webhooks; delete one first.`);
    if (body.after !== undefined && body.after > row.cursor)
      throw invalid('#/after', `must be at most ${row.cursor}, the end of the log`);
    if (idempotency) await rememberKey(db, tenant.id, idempotency);
    return row;
  });
  return { ...created, secret };
}

const shownOnce = () =>
  new Problem('conflict', 'This Idempotency-Key was already used. The response contained a secret, which is shown only once.');

function sealOf({ seal }: WebhookNeeds): Seal {
  if (seal) return seal;
  throw new Problem('conflict', 'Webhooks require an encryption key: the operator must set ENCRYPTION_KEY.');
}

const SENSITIVITY_LEVELS = ['none', 'low', 'high'] as const;
type WebhookFields = Omit<WebhookBody, 'user_ids' | 'after'>;

const settingsOf = (
  { url, description, filter, channels, sensitivity, active }: WebhookFields,
  user_ids: string[],
): WebhookSettings => ({
  url,
  description,
  filter,
  channels: [...new Set(channels)],
  sensitivities: SENSITIVITY_LEVELS.slice(0, SENSITIVITY_LEVELS.indexOf(sensitivity) + 1),
  user_ids: [...new Set(user_ids)],
  active,
});

/** Throws if the receiver would get events that the caller cannot see, or private or highly sensitive events without the channels for them. */
function validated(principal: Principal, settings: WebhookSettings, { reach }: WebhookNeeds): WebhookSettings {
  const normal = normalUrl(settings.url, reach);
  if ('fault' in normal) throw invalid('#/url', normal.fault);
  for (const channel of allChannels) if (settings.channels.includes(channel)) requireChannel(principal, channel);
  if (settings.user_ids.includes(ALL_SUBJECTS) || (settings.user_ids.length === 0 && settings.channels.includes('private')))
    throw invalid('#/user_ids', 'required for a key for all subjects: the users whose private events are sent');
  if (
    settings.sensitivities.includes('high') &&
    !settings.channels.some((channel) => channel === 'team' || channel === 'private')
  )
    throw invalid('#/sensitivity', 'must be "none" or "low" unless the channels include "team" or "private"');
  return { ...settings, url: normal.url };
}

const invalid = (pointer: string, detail: string) =>
  new Problem('validation', `${pointer}: ${detail}`, { errors: [{ pointer, detail }] });

/** Returns whether the request was an idempotent replay. */
export function changeWebhook(
  { tenant, principal }: Caller,
  webhook_id: string,
  patch: WebhookPatch,
  match: IfMatch,
  idempotency: Idempotency | null,
  needs: WebhookNeeds,
): Promise<boolean> {
  return tenant.write(async (db) => {
    const current = await lockWebhook(db, tenant.id, webhook_id);
    if (!current) throw noWebhook();
    if (await isReplay(db, tenant.id, idempotency)) return true;
    assertVersion(match, current, 'webhook');
    const { version: _, ...before } = current;
    const { filter, sensitivity, user_ids, ...rest } = patch;
    await updateWebhook(
      db,
      tenant.id,
      webhook_id,
      validated(
        principal,
        {
          ...before,
          ...rest,
          ...(filter !== undefined && { filter }),
          ...(sensitivity !== undefined && {
            sensitivities: SENSITIVITY_LEVELS.slice(0, SENSITIVITY_LEVELS.indexOf(sensitivity) + 1),
          }),
          ...(user_ids !== undefined && { user_ids }),
        },
        needs,
      ),
    );
    if (idempotency) await rememberKey(db, tenant.id, idempotency);
    return false;
  });
}

export async function rotateSecret(
  { tenant }: Caller,
  webhook_id: string,
  idempotency: Idempotency | null,
  needs: WebhookNeeds,
): Promise<string> {
  const secret = makeSigningSecret();
  const sealed = sealOf(needs).seal(secret, SEAL_PURPOSE, `${tenant.id}/${webhook_id}`);
  await tenant.write(async (db) => {
    if (await isReplay(db, tenant.id, idempotency)) throw shownOnce();
    if ((await updateSecret(db, tenant.id, webhook_id, sealed)) === 0) throw noWebhook();
    if (idempotency) await rememberKey(db, tenant.id, idempotency);
  });
  return secret;
}
