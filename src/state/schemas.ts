import { z } from 'zod';
import { behalf, behalfQuery, channels } from '../auth/index.ts';
import { label, nameOf } from '../http/name.ts';
import { boundedPageOf, integerParameter, pageOf } from '../http/page.ts';
import { time } from '../http/time.ts';

// Requests and responses about state.

const notDots = (text: string) => text !== '.' && text !== '..';
const segment = (about: string) => nameOf().refine(notDots, 'must not be "." or ".."').describe(about);
export const namespace = segment('The namespace, such as `agent://production/planner`. URL-encoded in a path.');
export const key = segment('The key within the namespace. URL-encoded in a path.');

/** Ten years, in seconds. */
const MAX_TTL_S = 315_360_000;
const MAX_TAGS = 64;

export const tags = z
  .record(label, z.string().max(1000))
  .refine((all) => Object.keys(all).length <= MAX_TAGS, `must have at most ${MAX_TAGS} tags`)
  .describe('Tags by name. Queries find objects by them.');
export const jsonBody = z
  .unknown()
  .refine((value) => value !== undefined, 'required')
  .describe('The value: any JSON.');

const audience = {
  channel: z.enum(channels).optional().describe('The channel of the object. The default is team.'),
  user_id: nameOf()
    .optional()
    .describe('The user whom the object is about; in the channel private, its owner, by default the caller’s subject.'),
  agent_id: nameOf().optional().describe('The agent that the object belongs to.'),
  session_id: nameOf().optional().describe('The session that the object belongs to.'),
  project_id: nameOf().optional().describe('The project that the object belongs to.'),
};

export const put = {
  body: jsonBody,
  tags: tags.default({}),
  ttl_seconds: z
    .int()
    .min(1)
    .max(MAX_TTL_S)
    .optional()
    .describe('Seconds until the object expires. Without it, the object does not expire.'),
  ...audience,
};

export const putBody = z.strictObject(put).meta({ id: 'StatePut' });

export const patchBody = z
  .unknown()
  .describe('A JSON merge patch (RFC 7396), or a list of operations of a JSON patch (RFC 6902).')
  .meta({ id: 'StatePatch' });

export const object = z
  .object({
    namespace: z.string(),
    key: z.string(),
    body: z.unknown().describe('The value.'),
    tags: z.record(z.string(), z.string()),
    version: z.int().describe('Increases with each change of the key, including deletion and expiry. The `ETag` contains it.'),
    commit_seq: z.int().describe('The seq of the event that wrote this version.'),
    created_at: z.string(),
    updated_at: z.string(),
    expires_at: z.string().optional(),
    channel: z.enum(channels),
    user_id: z.string().optional(),
    agent_id: z.string().optional(),
    session_id: z.string().optional(),
    project_id: z.string().optional(),
    redactions: z.int().optional().describe('Number of redacted secrets; only in the response to the write.'),
  })
  .meta({ id: 'StateObject' });
export type StateObject = z.output<typeof object>;

export const objectPage = boundedPageOf(object, z.union([z.string(), z.int()]));

/** `at` in a request: a seq, a time, or the name of a snapshot. */
export interface At {
  seq?: number;
  time?: string;
  name?: string;
}

const NAME = /^[A-Za-z][\w.-]{0,127}$/;

export const at = z
  .string()
  .max(128)
  .transform((text, context): At => {
    if (/^\d{1,15}$/.test(text)) return { seq: Number(text) };
    if (NAME.test(text)) return { name: text };
    const parsed = time.safeParse(text);
    if (parsed.success) return { time: parsed.data };
    context.issues.push({ code: 'custom', input: text, message: 'must be a seq, an RFC 3339 time or the name of a snapshot' });
    return z.NEVER;
  })
  .describe('Reads the state of an earlier moment: a seq, an RFC 3339 time, or the name of a snapshot.');

export const namespaceParams = z.strictObject({ namespace });
export const objectParams = z.strictObject({ namespace, key });
export const objectQuery = z.strictObject({ at: at.optional(), ...behalf });
export const changeQuery = z.strictObject(behalf);

const tagParameter = z
  .string()
  .max(1300)
  .regex(/^[^:]*[^:\s][^:]*:/, 'must be name:value')
  .transform((text): [string, string] => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)]);

export const listQuery = z.strictObject({
  prefix: nameOf().optional().describe('Only keys that begin with this text.'),
  tag: z
    .union([tagParameter.transform((one) => [one]), z.array(tagParameter).max(MAX_TAGS)])
    .refine(
      (all) => all.every(([name, value]) => Object.fromEntries(all)[name] === value),
      'must not have two values of one name',
    )
    .optional()
    .describe('`name:value`. Only objects with this tag; repeat the parameter for several names, all of which must match.'),
  from_commit: integerParameter(0, 1e15)
    .optional()
    .describe(
      'Only for a watch: the seq of the first change. `Last-Event-ID` takes precedence. The default is the end of the log.',
    ),
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(2000).optional(),
  ...behalfQuery,
});
export type ListQuery = z.output<typeof listQuery>;

const version = z
  .object({
    namespace: z.string(),
    key: z.string(),
    version: z.int(),
    commit_seq: z.int(),
    change: z
      .enum(['put', 'deleted', 'expired', 'erased'])
      .describe('`erased`: an erasure or a retention rule removed the version.'),
    body: z.unknown().optional().describe('The value; only of `put`.'),
    tags: z.record(z.string(), z.string()).optional(),
    created_at: z.string().optional().describe('When the object was created.'),
    updated_at: z.string().describe('When the version was written.'),
    expires_at: z.string().optional(),
  })
  .meta({ id: 'StateVersion' });
export const versionPage = pageOf(version);
export const versionsQuery = z.strictObject({
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(500).optional(),
  ...behalf,
});
