import { z } from 'zod';
import { always } from '../http/name.ts';

export const subjectKinds = ['user_id', 'session_id', 'project_id', 'agent_id'] as const;
type SubjectKind = (typeof subjectKinds)[number];

// Any text: a person whom an older release recorded under a name with control characters can be erased too.
const name = (about: string) => z.string().min(1).max(255).describe(about).optional();

export const erasureBody = z
  .strictObject({
    user_id: name('a person: what is recorded about them and what they said, their account and keys'),
    session_id: name('a session'),
    project_id: name('a project'),
    agent_id: name('an agent: what it did'),
    keep_shared: z
      .boolean()
      .default(false)
      .describe('with user_id: keep decisions, tasks and rules of team and public, with the person’s names replaced'),
    dry_run: z.boolean().default(false).describe('only count what would go'),
  })
  .refine((body) => subjectKinds.filter((kind) => body[kind] !== undefined).length === 1, {
    message: 'must name exactly one of user_id, session_id, project_id, agent_id',
    when: always,
  })
  .refine((body) => !body.keep_shared || body.user_id !== undefined, {
    path: ['keep_shared'],
    message: 'allowed with user_id only',
    when: always,
  });

/** Whose data is to be forgotten. */
export interface Subject {
  kind: SubjectKind;
  id: string;
}

export function subjectOf(body: z.output<typeof erasureBody>): Subject {
  const kind = subjectKinds.find((one) => body[one] !== undefined)!;
  return { kind, id: body[kind]! };
}

const counts = z
  .record(z.string(), z.int())
  .describe('rows by table; `memories_kept` lost a part of what they rest on, `citing_events` a name');
export type Counts = z.output<typeof counts>;

const keptShared = z
  .object({
    events: z.int(),
    memories: z.int(),
    event_ids: z.array(z.string()).describe('the first 1,000'),
    memory_ids: z.array(z.string()).describe('the first 1,000'),
  })
  .describe('with `keep_shared`: the kept items, in which the person’s names are replaced');
export type KeptShared = z.output<typeof keptShared>;

export const preview = z
  .object({ kind: z.enum(subjectKinds), subject_hash: z.string(), counts, kept_shared: keptShared.optional() })
  .meta({ id: 'ErasurePreview' });

/** What a job that only counts is asked. */
export type PreviewInput = Pick<ErasureInput, 'kind' | 'subject' | 'name' | 'keep_shared'> & { dry_run: true };

/** What a job of this kind is asked. */
export interface ErasureInput {
  kind: SubjectKind;
  subject: string;
  /** What its names are replaced by. */
  name: string;
  /** Shared decisions, tasks and rules stay without the names of the person. */
  keep_shared?: boolean;
  /** Who began it: a keyed hash, as of a subject. */
  begun_by: string;
  /** Of an erasure that is done again after a restore: whose it was, up to where it reached, and when. */
  replay_of?: string;
  upto_seq?: number;
  before?: string;
}

export interface Certificate {
  job_id: string;
  tenant_id: string;
  kind: SubjectKind;
  subject_hash: string;
  upto_seq: number;
  started_at: string;
  finished_at: string;
  counts: Counts;
  kept_shared?: KeptShared;
}
