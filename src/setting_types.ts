import { z } from 'zod';

// Schemas that parse the text of an environment variable into a value.

export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d+$/, 'an integer')
    .transform(Number)
    .pipe(z.number().min(min, `at least ${min}`).max(max, `at most ${max}`));
export const flag = z
  .enum(['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'])
  .transform((v) => ['true', '1', 'yes', 'on'].includes(v));
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)?$/, 'a duration such as 900s, 15m, 24h or 7d')
  .transform(secondsOf);
export const list = z.string().transform((v) =>
  v
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean),
);

/** Converts a duration to seconds. A number without a unit is in seconds, as in jsonwebtoken. */
function secondsOf(text: string): number {
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const factor = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }[unit ?? 's'] ?? 1;
  return Math.max(1, Math.floor(Number(amount) * factor));
}

export const setting = <T extends z.ZodType>(schema: T, byDefault: string, group: string, about: string) =>
  schema.prefault(byDefault as never).meta({ group, about, byDefault });
export const optional = <T extends z.ZodType>(schema: T, group: string, about: string) =>
  schema.optional().meta({ group, about });
