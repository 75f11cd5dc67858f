import { z } from 'zod';
import { label, nameOf } from '../http/name.ts';

/** The name under which the table keeps the state of the whole tenant. */
export const WHOLE_TENANT = '*';

export const agentParams = z.strictObject({
  agent_id: nameOf().refine((name) => name !== WHOLE_TENANT, 'for the whole tenant, use /v1/tenant/kill'),
});

export const reasonBody = z
  .strictObject({ reason: label.max(1000).optional().describe('Why. Shown with the state and in the event.') })
  .meta({ id: 'StateChange' })
  .prefault({});

const state = {
  state: z.enum(['active', 'killed']).describe('An agent of a killed tenant is killed.'),
  reason: z.string().optional(),
  killed_at: z.string().optional(),
  mandates: z
    .int()
    .optional()
    .describe('Number of mandates of the agent. Absent if a change was committed but this could not be counted.'),
  spent_micros: z.int().optional().describe('Sum that actions under these mandates have cost. Absent with `mandates`.'),
};

export const agentState = z.object({ agent_id: z.string(), ...state }).meta({ id: 'AgentState' });
export type AgentState = z.output<typeof agentState>;

export const tenantState = z.object(state).meta({ id: 'TenantState' });
