import { type Visibility, visibilityValues } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { encodeCursor } from '../http/page.ts';

// Lists and queries by tags alone share round trips if their pages are small. The pages come from SQL as text (docs/decisions/shared-look-ups.md).

export interface TagQuery {
  namespace: string;
  /** Empty: all objects. */
  tags: Record<string, string>;
  /** The last key of the previous page. */
  after: string | undefined;
  limit: number;
}

interface TaggedRow {
  objects: string | null;
  last_key: string | null;
  more: boolean;
}

const FIND_TAGGED = { text: 'select * from find_tagged($1, $2, $3, $4, $5)', name: 'find_tagged', id: 'query' };

/** Returns the page of a query in the order of the keys, as JSON. Undefined if the query must be answered by itself: find_tagged says when. */
export async function findTaggedPage(tenant: Tenant, visibility: Visibility, query: TagQuery): Promise<string | undefined> {
  // one row past the page, which shows whether another page follows
  const id = JSON.stringify({ ...query, limit: query.limit + 1 });
  const page = await tenant.lookUp<TaggedRow>(FIND_TAGGED, id, visibilityValues(visibility));
  if (!page || page.objects === null) return undefined;
  return `{"data":${page.objects},"next_cursor":${JSON.stringify(page.more ? encodeCursor([page.last_key!]) : null)}}`;
}
