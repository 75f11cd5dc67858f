import type { Caller } from '../auth/index.ts';
import type { Route } from '../http/route.ts';
import type { Seal } from '../seal.ts';
import { reachOf, resolveName } from './address.ts';
import { type Dispatcher, type DispatchNeeds, startDispatcher } from './dispatch.ts';
import { webhookRoutes } from './routes.ts';

export { sweepDeliveries } from './sql.ts';

export interface WebhookSettings {
  NODE_ENV: string;
  WEBHOOK_ALLOW_PRIVATE: boolean;
  WEBHOOK_TIMEOUT_MS: number;
  WEBHOOK_ATTEMPTS: number;
  WEBHOOK_RETRY_MS: number;
}

export interface Webhooks {
  routes: Route<Caller>[];
  figures: Dispatcher['figures'];
  stop(): Promise<void>;
}

/** Without a seal none can be made, and none is delivered. */
export function openWebhooks(
  settings: WebhookSettings,
  host: string,
  seal: Seal | undefined,
  needs: Pick<DispatchNeeds, 'tenants' | 'watch' | 'attempted' | 'log'>,
): Webhooks {
  const reach = reachOf(settings, host);
  const send = { reach, timeoutMs: settings.WEBHOOK_TIMEOUT_MS, resolve: resolveName };
  const { WEBHOOK_ATTEMPTS: maxAttempts, WEBHOOK_RETRY_MS: retryMs } = settings;
  const dispatcher = seal && startDispatcher({ ...needs, seal, send, maxAttempts, retryMs });
  return {
    routes: webhookRoutes({ seal, reach, wake: (tenant_id) => dispatcher?.wake(tenant_id) }) as Route<Caller>[],
    figures: () => dispatcher?.figures() ?? { running: 0, unplaced: 0, stuck: 0 },
    stop: async () => dispatcher?.stop(),
  };
}
