import { z } from 'zod';
import { snapshotName } from '../snapshots/index.ts';
import { namespace } from '../state/index.ts';

// Requests and responses of the paths for operators.

export const createdSnapshot = z
  .object({
    snapshot_id: z.string(),
    commit_seq: z.int().describe('The last position of the log that the snapshot includes.'),
    last_seq: z.int().describe('Equals `commit_seq`.'),
  })
  .meta({ id: 'AgentStateSnapshot' });

export const manifest = z
  .object({
    last_seq: z.int(),
    segments: z.array(z.object({ name: z.string(), min_seq: z.int(), max_seq: z.int() })),
    current_snapshot: z.string().nullable().describe('The newest snapshot.'),
    snapshot_bookmark: z.int().nullable().describe('Position of `current_snapshot`.'),
  })
  .meta({ id: 'AgentStateManifest' });

export const trim = z.object({ snapshot_id: snapshotName.describe('The trim removes the log up to its position.') });
export const trimmed = z
  .object({
    deleted: z.array(z.string()).describe('The range of positions that the log no longer contains.'),
    oldest_seq: z.int().describe('The beginning of the log.'),
    job_id: z.string(),
  })
  .loose()
  .meta({ id: 'AgentStateTrim' });

const MAX_CONDITIONS = 64;
const name = z.string().max(500);
export const explainedFilter = z.object({
  tags: z.record(name, z.unknown()).optional(),
  jsonpath: z.union([name, z.object({ equals: z.record(name, z.unknown()) })]).optional(),
});
export const explainedQuery = z
  .object({
    ns: namespace,
    filter: explainedFilter
      .refine(
        ({ tags = {}, jsonpath = '' }) =>
          Object.keys(tags).length + Object.keys(typeof jsonpath === 'string' ? {} : jsonpath.equals).length <= MAX_CONDITIONS,
        `must have at most ${MAX_CONDITIONS} conditions`,
      )
      .nullish(),
  })
  .meta({ id: 'AgentStateExplainQuery' });

export const plan = z
  .object({
    plan: z.array(z.object({ op: z.string(), on: z.string(), index: z.string().nullable() })),
    indexes_hit: z.array(z.string()),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'AgentStatePlan' });
