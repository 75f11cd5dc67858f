import { z } from 'zod';

const check = z.object({
  name: z.string().describe('Name of the check.'),
  ok: z.boolean().describe('True if nothing differs.'),
  checked: z.int().describe('Number of checked items.'),
  wrong: z.int().describe('Number of items that differ from the log.'),
  sample: z.array(z.unknown()).describe('At most five of the differences.'),
});
export type Check = z.output<typeof check>;

export const report = z
  .object({
    ok: z.boolean().describe('True if all checks are.'),
    as_of_seq: z.int().describe('The last position of the log that was checked.'),
    rebuilding: z.boolean().describe('True while passages are being rebuilt, so that some may be missing.'),
    checks: z.array(check),
  })
  .meta({ id: 'ConsistencyReport' });
export type Report = z.output<typeof report>;
