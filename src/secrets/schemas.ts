import { z } from 'zod';

export const secretsPolicy = z.strictObject({
  mode: z
    .enum(['redact', 'refuse', 'encrypt'])
    .optional()
    .describe(
      'what to do with a secret: `redact` (default) replaces it, `refuse` rejects the write, `encrypt` replaces it and stores an encrypted copy',
    ),
  personal_data: z.boolean().optional().describe('also redact card numbers and IBANs'),
  contacts: z.boolean().optional().describe('also redact email addresses and telephone numbers'),
});
export type SecretsPolicy = z.output<typeof secretsPolicy>;
