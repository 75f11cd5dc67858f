import { z } from 'zod';

const check = z.object({
  name: z.string().describe('Name of the check.'),
  ok: z.boolean(),
  checked: z.int().describe('Number of checked items.'),
  wrong: z.int(),
  sample: z.array(z.unknown()).describe('At most five of the differences.'),
});
export type Check = z.output<typeof check>;

export const report = z
  .object({
    ok: z.boolean(),
    as_of_seq: z.int(),
    rebuilding: z.boolean().describe('True while passages are being rebuilt, so that some may be missing.'),
    checks: z.array(check),
  })
  .meta({ id: 'ConsistencyReport' });
export type Report = z.output<typeof report>;
