import { hostOf } from '../config.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { type Reach, reachOf, resolveName } from './address.ts';
import { type Dispatcher, openDispatcher } from './dispatch.ts';
import { isolation } from './isolation.ts';
import { attemptMetrics, registerGauges } from './metrics.ts';
import { webhookRoutes } from './routes.ts';
import { sweepDeliveries } from './sql.ts';

interface Webhooks {
  reach: Reach;
  /** Undefined without an encryption key: webhooks can then be neither created nor delivered. */
  dispatcher: Dispatcher | undefined;
}

export const feature: Feature<Webhooks> = {
  open: ({ config, seal, tenants, watch, metrics, log }) => {
    const reach = reachOf(config, hostOf(config));
    const send = { reach, timeoutMs: config.WEBHOOK_TIMEOUT_MS, resolve: resolveName };
    const { WEBHOOK_ATTEMPTS: maxAttempts, WEBHOOK_RETRY_MS: retryMs } = config;
    const onAttempt = attemptMetrics(metrics);
    const dispatcher = seal && openDispatcher({ tenants, watch, seal, send, maxAttempts, retryMs, onAttempt, log });
    return { reach, dispatcher };
  },
  routes: ({ seal }, { reach, dispatcher }) => webhookRoutes({ seal, reach, wake: (tenant_id) => dispatcher?.wake(tenant_id) }),
  sweeps: () => [sweepDeliveries],
  figures: ({ metrics }, { dispatcher }) => registerGauges(metrics, dispatcher),
  start: ({ dispatcher }) => dispatcher?.start(),
  stop: async ({ dispatcher }) => dispatcher?.stop(),
  prefixes: { whk: 'free' },
  audit: ['webhook.created', 'webhook.changed', 'webhook.secret_rotated', 'webhook.replayed', 'webhook.deleted'],
  isolation,
  tags: { Webhooks: 'Delivery of events over HTTP, signed and in order.' },
  examples: () => readExamples(import.meta.dirname),
};
