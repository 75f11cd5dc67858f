import { z } from 'zod';
import { behalfBody } from '../auth/index.ts';
import { filterIn, type Language } from '../filter/index.ts';
import { nameOf } from '../http/name.ts';
import { at, namespace, tags } from './schemas.ts';

// Queries of a namespace.

const language: Language = {
  fields: {
    key: { type: 'text', at: 'key' },
    version: { type: 'number', at: 'version' },
    commit_seq: { type: 'number', at: 'commit_seq' },
    created_at: { type: 'time', at: 'created_at' },
    updated_at: { type: 'time', at: 'updated_at' },
    expires_at: { type: 'time', at: 'expires_at' },
  },
  documents: ['body'],
  maps: ['tags'],
};

// `@>` compares each value of `contains` with all values of a body, and PostgreSQL cannot interrupt it.
const MAX_CONTAINED = 100;
const MAX_CONTAINED_ELEMENTS = 16;

/** Returns whether a condition `contains` has at most MAX_CONTAINED values, also counting objects and arrays, and no long array. */
function isSmall(contains: unknown): boolean {
  const values = [contains];
  // grows while it is read
  for (const value of values) {
    if (typeof value !== 'object' || value === null) continue;
    const inner: unknown[] = Object.values(value);
    if (values.length + inner.length > MAX_CONTAINED || (Array.isArray(value) && inner.length > MAX_CONTAINED_ELEMENTS))
      return false;
    values.push(...inner);
  }
  return true;
}

const orders = ['key', '-key', 'updated_at', '-updated_at', 'commit_seq', '-commit_seq'] as const;

export const queryBody = z
  .strictObject({
    namespace,
    tags: tags.optional().describe('Only objects with all these tags.'),
    prefix: nameOf().optional().describe('Only keys that begin with this text.'),
    contains: z
      .unknown()
      .refine(isSmall, `must have at most ${MAX_CONTAINED} values, and at most ${MAX_CONTAINED_ELEMENTS} in an array`)
      .optional()
      .describe(
        `Only objects whose body contains this JSON. A JSON object may have further members. It has at most ${MAX_CONTAINED} values, counting objects and arrays, and arrays have at most ${MAX_CONTAINED_ELEMENTS} elements.`,
      ),
    filter: filterIn(language)
      .optional()
      .describe(
        'Only objects that match this filter over `key`, `version`, `commit_seq`, `created_at`, `updated_at`, `expires_at`, `tags.<name>` and `body.<path>`.',
      ),
    at: at.optional(),
    order: z.enum(orders).default('key').describe('`-` sorts in descending order.'),
    limit: z.int().min(1).max(1000).default(50),
    cursor: z.string().max(2000).optional(),
    ...behalfBody,
  })
  .meta({ id: 'StateQuery' });
