import { z } from 'zod';
import { label, nameOf } from '../http/name.ts';
import { pageOf } from '../http/page.ts';

const channel = z.enum(['public', 'team', 'agent']);
const value = z.int().min(-1e15).max(1e15);

export const counterBody = z
  .strictObject({
    name: label,
    value: value.default(0),
    channel,
    ttl_s: z.int().min(1).max(31_536_000).optional().describe('seconds until it expires; default: never'),
  })
  .meta({ id: 'NewCounter' });
export type CounterBody = z.output<typeof counterBody>;

export const counterValue = z
  .strictObject({ value, expected: value.describe('the required current value') })
  .meta({ id: 'CounterValue' });

export const counter = z
  .object({
    counter_id: z.string(),
    seq: z.int().describe('seq of the latest event that set it'),
    name: z.string(),
    value: z.int(),
    channel,
    made_by: z.string().nullable(),
    expires_at: z.string().nullable(),
  })
  .meta({ id: 'Counter' });
export type Counter = z.output<typeof counter>;

export const counterPage = pageOf(counter);
export const counterParams = z.strictObject({ counter_id: nameOf() });
export const counterList = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(500).optional(),
});
export type CounterList = z.output<typeof counterList>;
