import { type Sight, sightValues, visible } from '../auth/index.ts';
import type { Judge } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Filter } from '../filter/index.ts';
import type { ChunkPosition } from '../passages/index.ts';
import type { Shape } from '../readable.ts';
import type { Plan, Survey } from './plan.ts';
import type { Pool } from './rank.ts';

/** What a search looks at: what may be seen, and of that what is asked for. */
export interface SearchScope extends Sight {
  /** Where the answer will be seen: what is blocked there is not found. */
  channel: string;
  session_id?: string;
  /** Whom it is about. */
  user_id?: string;
  agent_id?: string;
  project_id?: string;
  /** Only what had happened by then. */
  as_of?: string;
  /** Only what the log held at that seq. */
  as_of_seq?: number;
  filter?: Filter;
  /** What is no longer current too. */
  history?: boolean;
  /** Of memories that were deleted too: for admins. */
  deleted?: boolean;
}

export const trustLevels = ['approved', 'stated', 'inferred', 'observed'] as const;

/** What a memory is beside its words, as memory_details says it. */
export interface MemoryDetails {
  memory_id: string;
  kind: string;
  scope: string;
  /** What it rests on. */
  refs: string[];
  /** An act, or a claim that rests on something. */
  grounded: boolean;
  /** It rests on nothing, and the tenant wants claims of its kind to rest on something: no context states it. */
  unsourced: boolean;
  /** Made or approved by an admin, said by a human, by an agent, by a tool. */
  trust: (typeof trustLevels)[number];
  origin: { type: string; id: string };
  body: Record<string, unknown>;
  /** Of a claim or preference, in ms with a fraction: when the newest event that it cites occurred, or else its own; since when it holds. */
  stated_at?: number;
  effective_from?: number;
  /** The scope and audience within which its subject has one value. */
  claim_scope?: string;
}

/** A passage as answers need it. */
export interface PassageRow {
  seq: number;
  ordinal: number;
  event_id: string;
  kind: string;
  session_id: string;
  text: string;
  actor_id: string;
  tags: string[];
  artifact_id: string | null;
  chunk_count: number;
  occurred_at: string;
  /** The lexemes of the text: two passages are compared by these. */
  lexemes: string[];
  /** It is not held any more (as of what was asked). */
  superseded: boolean;
  /** The memory that it is a version of. */
  memory: MemoryDetails | null;
}

/** Unnamed, as every statement of a search: the generic plan of a named one took 111 ms instead of 4.5. */
export async function surveyChunks(tenant: Tenant, query: string, scope: SearchScope): Promise<Survey> {
  const [row] = await tenant.call<Survey>('select * from survey($1, $2, $3)', [tenant.id, query, scope]);
  return row!;
}

export async function readPool(tenant: Tenant, scope: SearchScope, keys: number[], plan: Plan): Promise<Pool> {
  const [row] = await tenant.call<Pool>('select * from pool($1, $2, $3, $4)', [tenant.id, scope, keys, plan]);
  return row!;
}

const PASSAGE_SHAPE = { lists: ['tags', 'lexemes'] };
const DETAILS_SHAPE = { objects: ['body', 'origin'], lists: ['refs'] };

/** Whether a row of these columns, with the memory that it is a version of, can be read. */
export const isReadable = (judge: Judge, row: { seq: number; memory: MemoryDetails | null }, shape: Shape): boolean =>
  judge.faultOf(row, shape) === undefined &&
  (row.memory === null || judge.faultOf({ ...row.memory, seq: row.seq }, DETAILS_SHAPE) === undefined);

/** Those that can be read. */
export async function readPassages(
  tenant: Tenant,
  scope: SearchScope,
  keys: { seq: number; ordinal: number }[],
): Promise<PassageRow[]> {
  if (keys.length === 0) return [];
  const rows = await tenant.call<PassageRow>('select * from read_search_hits($1, $2, $3, $4)', [
    tenant.id,
    scope,
    keys.map(({ seq }) => seq),
    keys.map(({ ordinal }) => ordinal),
  ]);
  return rows.filter((row) => isReadable(tenant, row, PASSAGE_SHAPE));
}

export interface ChunkRow extends Omit<PassageRow, 'lexemes' | 'artifact_id' | 'chunk_count' | 'superseded' | 'memory'> {
  channel: string;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  sensitivity: string;
  token_count: number;
}

/** Retracted it is not there; blocked in some channels, it is there for who may ask in another (`isHiddenById`). */
export function readChunk(
  tenant: Tenant,
  { event_id, ordinal }: ChunkPosition,
  sight: Sight,
  asking: string[],
): Promise<ChunkRow | undefined> {
  return tenant.read((db) =>
    db.row(
      `select
         c.seq, c.ordinal, e.event_id, c.kind, c.session_id, c.channel, c.user_id, c.agent_id, c.project_id, c.sensitivity, passage_text(c) as text,
         c.token_count, e.actor_id, e.tags, c.occurred_at
       from events e
       join chunks c on c.tenant_id = e.tenant_id and c.seq = e.seq
       where e.tenant_id = $1 and e.event_id = $5 and c.ordinal = $6 and ${visible(2, 'c.')}
         and c.text is distinct from '' and is_shown_by_id(c.blocked_in, $7)`,
      [tenant.id, ...sightValues(sight), event_id, ordinal, asking],
    ),
  );
}
