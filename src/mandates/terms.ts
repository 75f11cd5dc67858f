import { LRUCache } from 'lru-cache';
import type { Tenant } from '../db/tenant.ts';
import { compileSchema } from './args_schema.ts';
import type { ArgsCheck } from './args_size.ts';
import type { Link } from './evaluate.ts';
import { findTerms, type TermsRow } from './sql.ts';

export interface Terms extends Omit<TermsRow, 'definitions'> {
  links: Link[];
}

export interface TermsCache {
  /** Returns the terms of a mandate; undefined if there is none. They may be those of an earlier mandate with this id. */
  read(tenant: Tenant, mandate_id: string): Promise<Terms | undefined>;
  /** Drops the terms, if the transaction found that they are those of an earlier mandate. */
  forget(tenant: Tenant, mandate_id: string): void;
}

const MAX_ENTRIES = 5_000;
/** Characters of JSON. Compiled schemas take about ten times as much. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

export function createTermsCache(): TermsCache {
  const cache = new LRUCache<string, Terms>({ max: MAX_ENTRIES, maxSize: MAX_CHARACTERS });
  const keyOf = (tenant: Tenant, mandate_id: string) => JSON.stringify([tenant.id, mandate_id]);
  return {
    read: async (tenant, mandate_id) => {
      const key = keyOf(tenant, mandate_id);
      const known = cache.get(key);
      if (known) return known;
      const row = await tenant.read((db) => findTerms(db, tenant.id, mandate_id));
      if (!row) return undefined;
      const terms = termsOf(row);
      cache.set(key, terms, { size: JSON.stringify(row).length });
      return terms;
    },
    forget: (tenant, mandate_id) => void cache.delete(keyOf(tenant, mandate_id)),
  };
}

function termsOf({ definitions, ...row }: TermsRow): Terms {
  const links = definitions.map((definition, i) => ({
    mandate_id: row.chain[i]!,
    definition,
    argsCheckOf: checksOf(definition.tool_policies ?? {}),
  }));
  return { ...row, links };
}

/** Compiles each schema when it is first needed. */
function checksOf(policies: NonNullable<Link['definition']['tool_policies']>): Link['argsCheckOf'] {
  const compiled = new Map<string, ArgsCheck>();
  return (pattern) => {
    const schema = policies[pattern]?.args_schema;
    if (schema === undefined) return undefined;
    const check = compiled.get(pattern) ?? compileSchema(schema);
    compiled.set(pattern, check);
    return check;
  };
}
