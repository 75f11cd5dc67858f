import { z } from 'zod';

const check = z.object({
  name: z.string().describe('what was compared'),
  ok: z.boolean(),
  checked: z.int().describe('how many were looked at'),
  wrong: z.int(),
  sample: z.array(z.unknown()).describe('some of what is wrong, at most five'),
});
export type Check = z.output<typeof check>;

export const report = z
  .object({
    ok: z.boolean(),
    as_of_seq: z.int(),
    rebuilding: z.boolean().describe('passages are being made again, so some may be missing'),
    checks: z.array(check),
  })
  .meta({ id: 'ConsistencyReport' });
export type Report = z.output<typeof report>;
