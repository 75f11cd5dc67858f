import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { pageOf, whole } from '../http/page.ts';
import { time } from '../http/time.ts';

export const auditQuery = (actions: string[]) =>
  z.strictObject({
    action: z.enum(actions).optional().describe('only this, such as `key.made` or `refused`'),
    principal: nameOf(100).optional().describe('only what this user or key did: `usr_…`, `key_…` or `operator`'),
    since: time.optional().describe('written at or after'),
    until: time.optional().describe('written before'),
    order: z.enum(['asc', 'desc']).default('desc').describe('by seq; the newest first unless told otherwise'),
    limit: whole(1, 1000).default(50),
    cursor: z.string().max(500).optional(),
  });
export type AuditQuery = z.output<ReturnType<typeof auditQuery>>;

const auditEntry = z
  .object({
    seq: z.int().describe('of the audit alone: dense, apart from the log’s'),
    at: z.string().describe('when it was written'),
    first_at: z.string().describe('of counted refusals the time of the first; else as `at`'),
    action: z.string().describe('what was done, or `refused`'),
    route: z.string().describe('method and path, `*` for several, or the command of the operator'),
    status: z.int().describe('of the answer; 0 where there was no request'),
    count: z.int().describe('how many refusals of a minute it stands for'),
    principal_id: z.string().nullable().describe('who; null: unknown, or erased'),
    payload: z.record(z.string(), z.unknown()).nullable().describe('who, from where, and ids of what it was about; null: erased'),
    mac: z.string().describe('hex; the entry’s place in the chain'),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.output<typeof auditEntry>;

export const auditPage = pageOf(auditEntry);
