import type { Channel, Principal, Sight } from '../auth/index.ts';
import { sightById, sightIn } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { textOf } from '../search/index.ts';
import type { CapsuleItem } from './schemas.ts';
import { type CapsuleRow, findCapsule, ITEM_BYTES, type ItemRow, readItems } from './sql.ts';

/**
 * What an author may put into a capsule: what the credential sees of what is shared, and the author's own private items, whatever
 * else an admin could look up. Never secrets; what is of high sensitivity only where the capsule stays in the team or in private.
 */
export function sightOfAuthor(principal: Principal, user_id: string, channel: Channel): Sight {
  const { channels, sensitivities } = sightById(principal);
  const shown = channel === 'team' || channel === 'private' ? ['none', 'low', 'high'] : ['none', 'low'];
  return { channels, sensitivities: sensitivities.filter((each) => shown.includes(each)), subjects: [user_id] };
}

const sightOf = (row: CapsuleRow): Sight => ({
  channels: row.item_channels,
  sensitivities: row.item_sensitivities,
  subjects: [row.user_id],
});

/** The items in their order, as today allows; of a capsule that has ended nothing is handed over. */
export async function expand(db: Db, tenant: string, row: CapsuleRow, shownIn: Channel[]): Promise<CapsuleItem[]> {
  const found = row.status === 'active' ? await readItems(db, tenant, row.items, sightOf(row), shownIn) : [];
  const byId = new Map(found.map((item) => [item.id, item]));
  return row.items.map((id) => {
    const item = byId.get(id);
    return item ? itemOf(item) : { id, unavailable: true };
  });
}

function itemOf({ id, type, kind, content, refs, occurred_at, status, media_type, byte_count, ...row }: ItemRow): CapsuleItem {
  const text = textIn({ kind, content, ...row });
  return {
    id,
    type,
    ...(kind !== null && { kind }),
    ...(text !== undefined && { text }),
    ...(isCut({ type, content, byte_count, ...row }) && { truncated: true }),
    ...(content !== null && { content }),
    ...(status !== null && { status }),
    ...(media_type !== null && { media_type }),
    ...(byte_count !== null && { byte_count }),
    refs,
    occurred_at,
  };
}

function textIn({ kind, content, text, bytes }: Pick<ItemRow, 'kind' | 'content' | 'text' | 'bytes'>): string | undefined {
  // a character may be cut at the end
  if (bytes !== null)
    return new TextDecoder()
      .decode(bytes)
      .replace(/\uFFFD$/, '')
      .replaceAll('\0', '');
  if (content === null) return text?.toWellFormed();
  return typeof content.text === 'string' ? content.text : textOf(kind ?? '', content);
}

const isCut = ({ type, content, byte_count, bytes }: Pick<ItemRow, 'type' | 'content' | 'byte_count' | 'bytes'>): boolean =>
  type === 'artifact' ? bytes !== null && Number(byte_count) > ITEM_BYTES : type !== 'passage' && content === null;

/** An item of a capsule as a context takes it. */
export interface HandedItem {
  capsule_id: string;
  /** Of the capsule. */
  title: string | null;
  risks: string[];
  id: string;
  type: NonNullable<CapsuleItem['type']>;
  text: string;
  /** The item itself, then the capsule. */
  refs: string[];
}

/** The items of capsules that may be read in a channel, in their order. A capsule that may not, or no longer, is no capsule: 404. */
export function readCapsules(tenant: Tenant, principal: Principal, ids: string[], channel: Channel): Promise<HandedItem[]> {
  const { channels } = sightIn(principal, channel);
  return tenant.read(async (db) => {
    const handed: HandedItem[] = [];
    for (const [i, capsule_id] of ids.entries()) {
      const row = await findCapsule(db, tenant.id, principal, capsule_id, channels);
      if (row?.status !== 'active')
        throw new Problem('not-found', `There is no capsule ${JSON.stringify(capsule_id.slice(0, 80))}.`, {
          errors: [{ pointer: `#/capsules/${i}`, detail: 'names no capsule that may be used here' }],
        });
      const items = await expand(db, tenant.id, row, [row.channel, channel]);
      for (const { id, type, text } of items)
        if (type !== undefined && text !== undefined && /\S/u.test(text))
          handed.push({ capsule_id, title: row.title, risks: row.risks ?? [], id, type, text, refs: [id, capsule_id] });
    }
    return handed;
  });
}
