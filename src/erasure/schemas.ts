import { z } from 'zod';
import { onAnyObject } from '../http/name.ts';

export const subjectKinds = ['user_id', 'session_id', 'project_id', 'agent_id'] as const;
type SubjectKind = (typeof subjectKinds)[number];

// any text: an older release may have recorded a person under a name with control characters
const name = (about: string) => z.string().min(1).max(255).describe(about).optional();

export const erasureBody = z
  .strictObject({
    user_id: name('A user: everything recorded by or about this person, the account and its keys.'),
    session_id: name('A session.'),
    project_id: name('A project.'),
    agent_id: name('An agent: everything that it recorded.'),
    keep_shared: z
      .boolean()
      .default(false)
      .describe(
        'With `user_id`: keeps decisions, tasks and rules in the channels team and public, and replaces the names of the person.',
      ),
    dry_run: z.boolean().default(false).describe('If true, only counts what would be erased.'),
  })
  .refine((body) => subjectKinds.filter((kind) => body[kind] !== undefined).length === 1, {
    message: 'must name exactly one of user_id, session_id, project_id, agent_id',
    when: onAnyObject,
  })
  .refine((body) => !body.keep_shared || body.user_id !== undefined, {
    path: ['keep_shared'],
    message: 'must not be set without user_id',
    when: onAnyObject,
  });

/** The subject of an erasure. */
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
  .describe('Rows by table. `memories_kept` lost some of their sources, `citing_events` lost a name.');
export type Counts = z.output<typeof counts>;

const keptShared = z
  .object({
    events: z.int(),
    memories: z.int(),
    event_ids: z.array(z.string()).describe('The first 1,000 ids.'),
    memory_ids: z.array(z.string()).describe('The first 1,000 ids.'),
  })
  .describe('With `keep_shared`: the items that were kept, with the names of the person replaced.');
export type KeptShared = z.output<typeof keptShared>;

export const preview = z
  .object({
    kind: z.enum(subjectKinds),
    subject_hash: z.string().describe('Pseudonym that replaces the name of the subject.'),
    counts,
    kept_shared: keptShared.optional(),
  })
  .meta({ id: 'ErasurePreview' });

/** The input of a preview job. */
export type PreviewInput = Pick<ErasureInput, 'kind' | 'subject' | 'name' | 'keep_shared'> & { dry_run: true };

/** The input of an erasure job. */
export interface ErasureInput {
  kind: SubjectKind;
  subject: string;
  /** The pseudonym that replaces the names of the subject. */
  name: string;
  /** Retains shared decisions, tasks and rules without the names of the person. */
  keep_shared?: boolean;
  /** Pseudonym of the user who began the erasure. */
  begun_by: string;
  /** For a repetition after a restore: the original job, the seq up to which it erased, and its time. */
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
