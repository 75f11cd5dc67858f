import type { Channel, Principal, Visibility } from '../auth/index.ts';
import { coversAllSubjects, sensitivitiesIn, visibilityById, visibilityIn } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { textOf } from '../passages/index.ts';
import type { CapsuleItem } from './schemas.ts';
import { type CapsuleRow, findCapsule, ITEM_BYTES, type ItemRow, readItems } from './sql.ts';

/**
 * Returns what an author may put into a capsule: shared items that the credential sees, and private items of the author if the credential
 * acts for the author. An admin who writes for another user shares none of that user's private items. Secret items are never included;
 * items of high sensitivity only in capsules for the channels `team` and `private`.
 */
export function visibilityOfAuthor(principal: Principal, user_id: string | undefined, channel: Channel): Visibility {
  const { channels, sensitivities } = visibilityById(principal);
  const shown = sensitivitiesIn(channel);
  const own = user_id !== undefined && (coversAllSubjects(principal) || user_id === principal.subject);
  return { channels, sensitivities: sensitivities.filter((each) => shown.includes(each)), subjects: own ? [user_id] : [] };
}

const visibilityOf = (row: CapsuleRow): Visibility => ({
  channels: row.item_channels,
  sensitivities: row.item_sensitivities,
  subjects: row.user_id === null ? [] : [row.user_id],
});

const ITEM = { maybe: ['content'], lists: ['refs'] };

/** Returns the items in the order of the capsule, and undefined for each that is not available now. A capsule that has ended has none. */
async function itemsOf(db: Db, tenant: string, row: CapsuleRow, shownIn: Channel[]): Promise<(ItemRow | undefined)[]> {
  const rows = row.status === 'active' ? await readItems(db, tenant, row.items, visibilityOf(row), shownIn) : [];
  const readable = rows.filter((item) => db.faultOf(item, ITEM) === undefined);
  const byId = new Map(readable.map((item) => [item.id, item]));
  return row.items.map((id) => byId.get(id));
}

export async function expand(db: Db, tenant: string, row: CapsuleRow, shownIn: Channel[]): Promise<CapsuleItem[]> {
  const items = await itemsOf(db, tenant, row, shownIn);
  return items.map((item, i) => (item ? itemOf(item) : { id: row.items[i]!, unavailable: true }));
}

function itemOf(row: ItemRow): CapsuleItem {
  const { id, type, kind, content, refs, details, status, media_type, byte_count, occurred_at } = row;
  const text = textIn(row);
  return {
    id,
    type,
    ...(kind !== null && { kind }),
    ...(text !== undefined && { text }),
    ...(isCut(row) && { truncated: true }),
    ...(content !== null && { content }),
    ...(status !== null && { status }),
    ...(details && { scope: details.scope, trust: details.trust }),
    ...originOf(row),
    ...(media_type !== null && { media_type }),
    ...(byte_count !== null && { byte_count }),
    refs: details?.refs ?? refs,
    occurred_at,
  };
}

function originOf({ details, actor_type, actor_id }: ItemRow): Pick<CapsuleItem, 'origin'> {
  if (details) return { origin: details.origin };
  return actor_type === null || actor_id === null ? {} : { origin: { type: actor_type, id: actor_id } };
}

function textIn({ kind, content, text, bytes }: Pick<ItemRow, 'kind' | 'content' | 'text' | 'bytes'>): string | undefined {
  // the last character may be incomplete
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

/** An item of a capsule for a context. */
interface OpenedItem extends Pick<CapsuleItem, 'id' | 'kind' | 'scope' | 'trust' | 'origin'> {
  type: NonNullable<CapsuleItem['type']>;
  text: string;
  /** Its own id, the capsule and its sources. */
  refs: string[];
  superseded: boolean;
  /** A claim without the source that the tenant requires; contexts omit it. */
  unsourced: boolean;
}

export interface OpenedCapsule {
  capsule_id: string;
  author: string;
  title: string | null;
  risks: string[];
  items: OpenedItem[];
}

/** Reads capsules that the caller may use in a channel, with their items. Throws 404 for any other. */
export function readCapsules(tenant: Tenant, principal: Principal, ids: string[], channel: Channel): Promise<OpenedCapsule[]> {
  const { channels } = visibilityIn(principal, channel);
  return tenant.read(async (db) => {
    const opened: OpenedCapsule[] = [];
    for (const [i, capsule_id] of ids.entries()) {
      const row = await findCapsule(db, tenant.id, principal, capsule_id, channels);
      if (row?.status !== 'active')
        throw new Problem('not-found', `There is no capsule with the id ${JSON.stringify(capsule_id.slice(0, 80))}.`, {
          errors: [{ pointer: `#/capsules/${i}`, detail: 'must be the id of a capsule that you can read in this channel' }],
        });
      const rows = await itemsOf(db, tenant.id, row, [row.channel, channel]);
      const items = rows.flatMap((item) => openedItem(capsule_id, item));
      opened.push({
        capsule_id,
        author: row.agent_id ?? row.user_id ?? 'agent',
        title: row.title,
        risks: row.risks ?? [],
        items,
      });
    }
    return opened;
  });
}

function openedItem(capsule_id: string, row: ItemRow | undefined): OpenedItem[] {
  const text = row && textIn(row);
  if (!row || text === undefined || !/\S/u.test(text)) return [];
  const { id, type, kind, scope, trust, origin, refs = [] } = itemOf(row);
  const superseded = row.status === 'superseded';
  const unsourced = row.details?.unsourced === true;
  return [{ id, type: type!, kind, scope, trust, origin, text, refs: [id, capsule_id, ...refs], superseded, unsourced }];
}
