import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const body = { url: 'https://example.com/alpha', active: false };
    return { webhook_id: (await request('POST', '/v1/webhooks', { body })).body.webhook_id };
  },
  holdings: ['/v1/webhooks'],
  cases: {
    createWebhook: { body: () => ({ url: 'https://example.com/hook', active: false, user_ids: ['alice'] }), ownAnswer: true },
    listWebhooks: { ownAnswer: true },
    readWebhook: {},
    changeWebhook: { body: () => ({ url: 'https://example.org/' }) },
    deleteWebhook: {},
    rotateWebhookSecret: {},
    listWebhookDeliveries: {},
    replayWebhookDelivery: {},
  },
};
