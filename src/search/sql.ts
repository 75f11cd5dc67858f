import { type Visibility, visibilityValues, visible } from '../auth/index.ts';
import type { RowChecker } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { type QueryVector, signsOf } from '../embeddings/index.ts';
import type { Filter } from '../filter/index.ts';
import type { ChunkPosition } from '../passages/index.ts';
import type { Shape } from '../readable.ts';
import type { SearchPlan, Survey } from './plan.ts';
import type { Pool } from './rank.ts';

/** The rows that a search covers: those that the caller may see, restricted by the filters of the request. */
export interface SearchScope extends Visibility {
  /** The channel in which the answer will be shown: passages that an edit blocks there are not found. */
  channel: string;
  session_id?: string;
  /** The subject that passages are about. */
  user_id?: string;
  agent_id?: string;
  project_id?: string;
  /** Ignores events that occurred later. */
  as_of?: string;
  /** Ignores events with a greater seq. */
  as_of_seq?: number;
  filter?: Filter;
  /** Includes passages that are no longer current. */
  history?: boolean;
  /** Includes passages of deleted memories; for admins. */
  deleted?: boolean;
}

export const trustLevels = ['approved', 'stated', 'inferred', 'observed'] as const;

/** Everything about a memory except its text, as returned by the SQL function memory_details. */
export interface MemoryDetails {
  memory_id: string;
  kind: string;
  scope: string;
  /** Ids that the memory cites. */
  refs: string[];
  /** True for an act, and for a claim that cites something that still exists. */
  grounded: boolean;
  /** True if the tenant requires a source for claims of this kind and this one has none: no context includes it. */
  unsourced: boolean;
  /** Approved by an admin, stated by a human, inferred by an agent or observed by a tool. */
  trust: (typeof trustLevels)[number];
  origin: { type: string; id: string };
  body: Record<string, unknown>;
  /**
   * For claims and preferences, in ms with a fraction: the time of the newest event that it cites, or else of its own event; and the time from
   * which it is valid.
   */
  stated_at?: number;
  effective_from?: number;
  /** The scope and audience within which the subject of a claim has a single value. */
  claim_scope?: string;
}

/** A passage with what answers show of it. */
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
  /** The lexemes of the text, by which passages are compared. */
  lexemes: string[];
  /** True if the passage was no longer current at the time that the search reads. */
  superseded: boolean;
  /** The memory that the event is a version of. */
  memory: MemoryDetails | null;
}

/** The statements of a search are unnamed: with the generic plan of a named statement, a search took 111 ms instead of 4.5 ms. */
export async function surveyChunks(tenant: Tenant, query: string, scope: SearchScope, names: string[]): Promise<Survey> {
  const [row] = await tenant.call<Survey>('select * from survey_query($1, $2, $3, $4)', [tenant.id, query, scope, names]);
  return row!;
}

/** A passage by its position in the log. */
export interface PassageKey {
  seq: number;
  ordinal: number;
}

/** `closest`: passages that the pool also contains, if they are in scope. */
export async function readPool(
  tenant: Tenant,
  scope: SearchScope,
  { keys, near_terms: _, ...terms }: SearchPlan,
  closest: PassageKey[],
): Promise<Pool> {
  const plan = { ...terms, closest_seqs: closest.map(({ seq }) => seq), closest_ordinals: closest.map(({ ordinal }) => ordinal) };
  const [row] = await tenant.call<Pool>('select * from search_pool($1, $2, $3, $4)', [tenant.id, scope, keys, plan]);
  return row!;
}

/** Returns the `most` passages in scope that are closest to the query, by the signs of their vectors. */
export const readClosest = (
  tenant: Tenant,
  scope: SearchScope,
  { model, vector }: QueryVector,
  most: number,
): Promise<PassageKey[]> =>
  tenant.call('select * from closest_passages($1, $2, $3, $4, $5)', [tenant.id, scope, model, signsOf(vector), most]);

/** As readClosest, approximately, by the index of pgvector; undefined if there is none. */
export async function readNearest(
  tenant: Tenant,
  scope: SearchScope,
  { model, vector }: QueryVector,
  most: number,
): Promise<PassageKey[] | undefined> {
  const [row] = await tenant.call<{ seqs: number[]; ordinals: number[] }>('select * from nearest_passages($1, $2, $3, $4, $5)', [
    tenant.id,
    scope,
    model,
    signsOf(vector),
    most,
  ]);
  return row?.seqs.map((seq, i) => ({ seq, ordinal: row.ordinals[i]! }));
}

/** Returns the hashes of the terms of each phrase. */
export async function readPhraseKeys(tenant: Tenant, phrases: string[]): Promise<number[][]> {
  if (phrases.length === 0) return [];
  const [row] = await tenant.call<{ keys: number[][] }>('select phrase_keys($1, $2) as keys', [tenant.id, phrases]);
  return row!.keys;
}

/** Returns the number of phrases in each of these passages, without those that have none. */
export const countPhrases = (
  tenant: Tenant,
  passages: { seq: number; ordinal: number }[],
  phrases: string[],
): Promise<{ seq: number; ordinal: number; phrases: number }[]> =>
  tenant.call('select * from count_phrases($1, $2, $3, $4)', [
    tenant.id,
    passages.map(({ seq }) => seq),
    passages.map(({ ordinal }) => ordinal),
    phrases,
  ]);

/** Returns the words that have only terms in `absent`, and the words in scope, in passages of the events `seqs`, that are about as long. */
export async function readSpellings(
  tenant: Tenant,
  scope: SearchScope,
  seqs: number[],
  words: string[],
  absent: number[],
): Promise<{ missing: string[]; known: string[] }> {
  const [row] = await tenant.call<{ missing: string[]; known: string[] }>('select * from spellings($1, $2, $3, $4, $5)', [
    tenant.id,
    scope,
    seqs,
    words,
    absent,
  ]);
  return row!;
}

const PASSAGE_SHAPE = { lists: ['tags', 'lexemes'] };
const DETAILS_SHAPE = { objects: ['body', 'origin'], lists: ['refs'] };

/** Returns true if the columns of a row, and those of its memory, are well-formed. */
export const isReadable = (checker: RowChecker, row: { seq: number; memory: MemoryDetails | null }, shape: Shape): boolean =>
  checker.faultOf(row, shape) === undefined &&
  (row.memory === null || checker.faultOf({ ...row.memory, seq: row.seq }, DETAILS_SHAPE) === undefined);

/** Reads passages. Leaves out those that are not well-formed. */
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

/** Reads a passage by id. Finds no retracted passage, and none that is blocked in every channel that the caller may use (`isHiddenById`). */
export function readChunk(
  tenant: Tenant,
  { event_id, ordinal }: ChunkPosition,
  visibility: Visibility,
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
      [tenant.id, ...visibilityValues(visibility), event_id, ordinal, asking],
    ),
  );
}
