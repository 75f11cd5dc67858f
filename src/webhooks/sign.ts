import { createHmac, randomBytes } from 'node:crypto';

// Signatures in the format of https://www.standardwebhooks.com, so that its libraries can verify them.

const PREFIX = 'whsec_';
/** The purpose that binds the encryption of webhook secrets. */
export const SEAL_PURPOSE = 'webhooks';

export const makeSigningSecret = (): string => PREFIX + randomBytes(32).toString('base64');

/** Returns the value of `Webhook-Signature`: one signature for each valid secret, newest first. */
export const signatures = (secrets: string[], id: string, timestamp_s: number, body: string): string =>
  secrets
    .map((secret) => {
      const hmac = createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'));
      return `v1,${hmac.update(`${id}.${timestamp_s}.${body}`).digest('base64')}`;
    })
    .join(' ');
