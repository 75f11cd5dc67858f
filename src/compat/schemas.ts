import { z } from 'zod';
import { label, nameOf } from '../http/name.ts';
import { integerParameter } from '../http/page.ts';
import { at, key, namespace, putBody } from '../state/index.ts';
import { TYPE_TAG } from './objects.ts';

// Requests and responses of AgentState. It ignores unknown fields, so these schemas do, too.

const MAX_TAGS = 63;

const { body, ttl_seconds } = putBody.shape;
const tags = z
  .record(label, z.string().max(1000))
  .refine((all) => Object.keys(all).length <= MAX_TAGS, `must have at most ${MAX_TAGS} tags`)
  .refine((all) => !Object.hasOwn(all, TYPE_TAG), `must not contain ${TYPE_TAG}, which holds the type`);

export const namespaceParams = z.strictObject({ namespace });
export const objectParams = z.strictObject({ namespace, id: key });
export const objectQuery = z.object({ at: at.optional() });

export const newObject = z
  .object({
    type: z.string().max(1000).default('').describe('The type of the object, which queries do not compare.'),
    body,
    tags: tags.default({}),
    ttl_seconds: ttl_seconds.unwrap().nullish().describe('Seconds until the object expires.'),
    id: key.nullish().describe('Replaces the object with this id. Without it, the object gets a new id.'),
  })
  .meta({ id: 'AgentStatePut' });

export const agentObject = z
  .object({
    id: z.string(),
    ns: z.string(),
    type: z.string(),
    body: z.unknown(),
    tags: z.record(z.string(), z.string()),
    ttl_seconds: z.int().nullable(),
    parents: z.array(z.string()).describe('Always empty.'),
    commit: z.string().describe('Names the version; the SHA-256 of namespace, id and version.'),
    ts: z.string(),
    commit_ts: z.string().describe('The same as `ts`.'),
    commit_seq: z.int(),
  })
  .meta({ id: 'AgentStateObject' });

/** A path such as `$.task.status`. A name that begins with a digit would be an index of a list. */
const path = z
  .string()
  .max(500)
  .regex(/^\$(?:\.[A-Za-z_][\w-]*)+$/, 'must be a path such as $.task.status');

export const query = z
  .object({
    tags: tags.nullish(),
    tag_filter: tags.nullish().describe('The same as `tags`.'),
    jsonpath: z
      .object({ equals: z.record(path, z.union([z.string(), z.number(), z.boolean()])) })
      .nullish()
      .describe('Values that the body has at these paths.'),
    vector: z.null('vector queries are not supported').optional(),
    limit: z.int().min(0).nullish(),
    fields: z.array(z.string().max(255)).max(100).nullish().describe('Only these members of each body.'),
  })
  .meta({ id: 'AgentStateQuery' });
export type Query = z.output<typeof query>;

export const watchQuery = z.object({
  from_commit: integerParameter(0, 1e15).optional().describe('The seq of the first change. Without it, the watch begins now.'),
});

/** Longest duration of a lease in seconds. */
const MAX_TTL_S = 3600;
const claim = { key: nameOf(), owner: nameOf(), token: z.int().min(0) };
const ttl = z.int().min(1).max(MAX_TTL_S).describe('Duration in seconds.');
export const acquisition = z.object({ key: claim.key, owner: claim.owner, ttl }).meta({ id: 'AgentStateLeaseRequest' });
export const renewal = z.object({ ...claim, ttl }).meta({ id: 'AgentStateLeaseRenewal' });
export const release = z.object(claim).meta({ id: 'AgentStateLeaseRelease' });
export const lease = z.object({ token: z.int(), expires_at: z.string() }).meta({ id: 'AgentStateLease' });
