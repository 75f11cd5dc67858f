import type { Definition, templateNames } from './schemas.ts';

type Template = Definition & { ttl_ms?: number };

const UNIT = 1_000_000;
const MINUTE_MS = 60_000;
const DESTRUCTIVE = ['*delete*', '*drop*', '*destroy*', '*remove*'];

/** The terms that a template supplies, in micro-units of any currency. A field of the request replaces that of the template. */
const templates: Record<(typeof templateNames)[number], Template> = {
  restricted: {
    max_cost_per_call_micros: UNIT / 10,
    max_cost_total_micros: UNIT,
    allowed_tools: ['read_*', 'search_*', 'list_*', 'get_*'],
    denied_tools: DESTRUCTIVE,
    rate_limit: { max_calls: 10, window_ms: MINUTE_MS },
  },
  development: {
    max_cost_per_call_micros: UNIT,
    max_cost_total_micros: 10 * UNIT,
    allowed_tools: ['*'],
    denied_tools: DESTRUCTIVE,
    rate_limit: { max_calls: 100, window_ms: MINUTE_MS },
  },
  production: {
    max_cost_per_call_micros: 5 * UNIT,
    max_cost_total_micros: 100 * UNIT,
    allowed_tools: ['*'],
    denied_tools: DESTRUCTIVE,
    rate_limit: { max_calls: 1_000, window_ms: MINUTE_MS },
  },
  temporary: {
    max_cost_per_call_micros: UNIT,
    max_cost_total_micros: 5 * UNIT,
    allowed_tools: ['*'],
    denied_tools: DESTRUCTIVE,
    rate_limit: { max_calls: 50, window_ms: MINUTE_MS },
    ttl_ms: 60 * MINUTE_MS,
  },
};

/** Returns the terms with those of their template, and when the mandate expires. Null: never. */
export function withTemplate(
  given: Definition & { expires_at?: string | undefined },
  now: number,
): { definition: Definition; expires_at: string | null } {
  const { expires_at, ...own } = given;
  const { ttl_ms, ...supplied } = own.template ? templates[own.template] : ({} as Template);
  const ends = ttl_ms === undefined ? null : new Date(now + ttl_ms).toISOString();
  return { definition: { ...supplied, ...own }, expires_at: expires_at ?? ends };
}
