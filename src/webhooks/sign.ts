import { createHmac, randomBytes } from 'node:crypto';

// Signatures as https://www.standardwebhooks.com has them, so that its libraries verify them.

const PREFIX = 'whsec_';
/** What the secrets of webhooks are sealed for: nothing else opens them. */
export const SEAL_PURPOSE = 'webhooks';

export const makeSigningSecret = (): string => PREFIX + randomBytes(32).toString('base64');

/** `Webhook-Signature`: one for each secret that is good, the newest first. */
export const signatures = (secrets: string[], id: string, timestamp_s: number, body: string): string =>
  secrets
    .map((secret) => {
      const hmac = createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'));
      return `v1,${hmac.update(`${id}.${timestamp_s}.${body}`).digest('base64')}`;
    })
    .join(' ');
