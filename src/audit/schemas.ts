import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { integerParameter, pageOf } from '../http/page.ts';
import { time } from '../http/time.ts';

export const auditQuery = (actions: string[]) =>
  z.strictObject({
    action: z.enum(actions).optional().describe('Only entries with this action, such as `key.made` or `refused`.'),
    principal: nameOf(100).optional().describe('Only actions of this user or key: `usr_…`, `key_…` or `operator`.'),
    since: time.optional().describe('Only entries written at or after this time.'),
    until: time.optional().describe('Only entries written before this time.'),
    order: z.enum(['asc', 'desc']).default('desc').describe('The order of `seq`. The default is newest first.'),
    limit: integerParameter(1, 1000).default(50),
    cursor: z.string().max(500).optional(),
  });
export type AuditQuery = z.output<ReturnType<typeof auditQuery>>;

const auditEntry = z
  .object({
    seq: z.int().describe('Position in the audit stream, which is numbered separately from the log, without gaps.'),
    at: z.string().describe('Time at which the entry was written.'),
    first_at: z.string().describe('Time of the first refusal if the entry counts several, otherwise equal to `at`.'),
    action: z.string().describe('The action, or `refused`.'),
    route: z.string().describe('Method and path, `*` for several routes, or the command of the operator.'),
    status: z.int().describe('Status of the response, or 0 if there was no request.'),
    count: z.int().describe('Number of refusals within one minute that the entry represents.'),
    principal_id: z.string().nullable().describe('The user or key, or null if it is unknown or was erased.'),
    payload: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('The actor, its address and the ids of the affected objects, or null if they were erased.'),
    mac: z.string().describe('Message authentication code that chains the entry to the previous one, in hexadecimal.'),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.output<typeof auditEntry>;

export const auditPage = pageOf(auditEntry);
