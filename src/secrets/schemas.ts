import { z } from 'zod';

export const secretsPolicy = z.strictObject({
  mode: z
    .enum(['redact', 'refuse', 'encrypt'])
    .optional()
    .describe(
      'what becomes of a secret: cut out, the write refused, or kept encrypted beside the redacted text; by default cut out',
    ),
  personal_data: z.boolean().optional().describe('cut out card numbers and IBANs too'),
  contacts: z.boolean().optional().describe('cut out mail addresses and telephone numbers too'),
});
export type SecretsPolicy = z.output<typeof secretsPolicy>;
