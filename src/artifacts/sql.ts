import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';

export interface NewArtifact {
  artifact_id: string;
  media_type: string;
  bytes: Buffer;
  sha256: Buffer;
  channel: string;
  sensitivity: string;
  user_id: string | undefined;
}

/** Stores bytes, which stay invisible until an event that names them is committed. */
export const insertArtifact = (tenant: Tenant, artifact: NewArtifact): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `insert into artifacts (tenant_id, artifact_id, media_type, byte_count, sha256, bytes, channel, sensitivity, user_id)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        tenant.id,
        artifact.artifact_id,
        artifact.media_type,
        artifact.bytes.length,
        artifact.sha256,
        artifact.bytes,
        artifact.channel,
        artifact.sensitivity,
        artifact.user_id,
      ],
    ),
  );

/** Deletes those of the artifacts that no event names. */
export const deleteUnlinked = (tenant: Tenant, artifact_ids: string[]): Promise<number> =>
  tenant.write((db) =>
    db.run('delete from artifacts where tenant_id = $1 and artifact_id = any ($2) and event_id is null', [
      tenant.id,
      artifact_ids,
    ]),
  );

/** Returns true if this many more bytes would exceed the storage quota of the tenant. */
export async function exceedsQuota(db: Db, tenant_id: string, bytes: number): Promise<boolean> {
  const row = await db.row<{ exceeds: boolean | null }>(
    'select stored_bytes + $2::bigint > max_bytes as exceeds from tenant_clocks where tenant_id = $1',
    [tenant_id, bytes],
  );
  return row?.exceeds === true;
}

export interface ArtifactRecord {
  artifact_id: string;
  event_id: string;
  channel: string;
  media_type: string;
  byte_count: number;
  sha256: Buffer;
  created_at: string;
}

/**
 * Reads the metadata of a visible artifact. `visible` is the predicate of the visibility rule with parameters from $3 on. If an edit replaces or
 * hides the content of the event, only admins can read its artifact: `asking` is null for admins, else the channels of the credential.
 */
export const findArtifact = (
  db: Db,
  tenant: string,
  artifact_id: string,
  visible: string,
  visibility: unknown[],
  asking: string[] | null,
): Promise<ArtifactRecord | undefined> =>
  db.row(
    `select artifact_id, event_id, channel, media_type, byte_count, sha256, created_at
    from artifacts
    where tenant_id = $1 and artifact_id = $2 and event_id is not null and ${visible}
    and ($6::text[] is null or not exists (
      select from events e join overlays o on o.tenant_id = e.tenant_id and o.seq = e.seq
      where e.tenant_id = $1 and e.event_id = artifacts.event_id and (o.content is not null or o.blocked_in @> $6)))`,
    [tenant, artifact_id, ...visibility, asking],
    'find_artifact',
  );

/** Number of bytes to read per query: they arrive as text, and decoding blocks the event loop. */
const SLICE_BYTES = 1024 * 1024;

/** Reads the bytes `from` (0-based) to `to` (exclusive) of an artifact. Returns undefined if it was deleted meanwhile. */
export async function readSlice(
  db: Db,
  tenant: string,
  artifact_id: string,
  from: number,
  to: number,
): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(to - from);
  for (let at = from; at < to; at += SLICE_BYTES) {
    const row = await db.row<{ slice: Buffer }>(
      'select substring(bytes from $3::int + 1 for $4::int) as slice from artifacts where tenant_id = $1 and artifact_id = $2',
      [tenant, artifact_id, at, Math.min(SLICE_BYTES, to - at)],
      'read_artifact_slice',
    );
    if (!row) return undefined;
    row.slice.copy(bytes, at - from);
  }
  return bytes;
}

/** Deletes bytes whose event was never committed because the request failed with an unknown outcome. A day is longer than any request takes. */
export const sweepArtifacts = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from artifacts
      where tenant_id = $1 and artifact_id in (
        select artifact_id from artifacts
        where tenant_id = $1 and event_id is null and created_at < now() - interval '1 day'
        limit $2)`,
      [tenant.id, limit],
    ),
  );
