import { z } from 'zod';

export const secretsPolicy = z.strictObject({
  mode: z
    .enum(['redact', 'refuse', 'encrypt'])
    .optional()
    .describe(
      'the action on a write that contains a secret: `redact` (default) replaces the secret, `refuse` rejects the write, `encrypt` replaces the secret and stores an encrypted copy',
    ),
  personal_data: z.boolean().optional().describe('also redact card numbers and IBANs'),
  contacts: z.boolean().optional().describe('also redact email addresses and telephone numbers'),
});
export type SecretsPolicy = z.output<typeof secretsPolicy>;
