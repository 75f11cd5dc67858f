import { z } from 'zod';
import { actorOf, agentOf, assertPerson, type Caller, route } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Tenant } from '../db/tenant.ts';
import { serviceEventOf, unitOf } from '../db/unit.ts';
import type { controlRecorder, ReplayChange } from '../erasure/index.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import type { ProblemType } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Logger } from '../log.ts';
import { agentParams, agentState, reasonBody, tenantState, WHOLE_TENANT } from './schemas.ts';
import { commitAlone, confirmRestored, lockTenant, readKept, readOwnState, readState, readUsage, type Stored } from './sql.ts';

const tagged = { tag: 'Agents', limit: 'v1' } as const;
const change = {
  ...tagged,
  method: 'POST' as const,
  idempotent: true,
  body: reasonBody,
  freeText: ['reason'],
  problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'] satisfies ProblemType[],
};

export const agentRoutes = (needs: Needs) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/agents/{agent_id}',
    operation: 'readAgent',
    summary: 'Get the state of an agent',
    description: 'An agent that was never killed is active, whether or not it has done anything. Any scope suffices.',
    access: 'any',
    params: agentParams,
    success: { status: 200, description: 'The state', schema: agentState },
    problems: ['validation'],
    handle: async ({ caller: { tenant }, params: { agent_id } }) => ({
      body: { agent_id, ...(await tenant.read((db) => readState(db, tenant.id, agent_id))) },
    }),
  }),
  route({
    ...change,
    path: '/v1/agents/{agent_id}/kill',
    operation: 'killAgent',
    summary: 'Kill an agent',
    description:
      'Stops every key and capability that is bound to the agent, ends its leases and jobs, and makes its open actions expire. Members may kill; a key that is bound to an agent may kill only that agent.',
    access: 'write',
    params: agentParams,
    audit: 'agent.killed',
    success: { status: 200, description: 'The agent is killed', schema: agentState },
    handle: async ({ caller, params: { agent_id }, body, idempotency }) => {
      agentOf(caller.principal, agent_id);
      return answer(await changeState(needs, caller, agent_id, 'killed', body.reason, idempotency), { agent_id });
    },
  }),
  route({
    ...change,
    path: '/v1/agents/{agent_id}/resurrect',
    operation: 'resurrectAgent',
    summary: 'Resurrect a killed agent',
    description: 'Only a logged-in admin can do this. Leases, jobs and actions that the kill ended stay ended.',
    access: 'admin',
    params: agentParams,
    audit: 'agent.resurrected',
    success: { status: 200, description: 'The state: an agent of a killed tenant remains killed', schema: agentState },
    handle: async ({ caller, params: { agent_id }, body, idempotency }) => {
      assertPerson(caller.principal);
      return answer(await changeState(needs, caller, agent_id, 'active', body.reason, idempotency), { agent_id });
    },
  }),
];

export const tenantStateRoutes = (needs: Needs) => [
  route({
    ...change,
    path: '/v1/tenant/kill',
    operation: 'killTenant',
    summary: 'Kill all agents of the tenant',
    description: 'Stops every agent, including agents that appear later. Users and keys without an agent are not stopped.',
    access: 'admin',
    audit: 'tenant.killed',
    success: { status: 200, description: 'All agents are killed', schema: tenantState },
    handle: async ({ caller, body, idempotency }) =>
      answer(await changeState(needs, caller, WHOLE_TENANT, 'killed', body.reason, idempotency)),
  }),
  route({
    ...change,
    path: '/v1/tenant/resurrect',
    operation: 'resurrectTenant',
    summary: 'Resurrect the agents of a killed tenant',
    description: 'Only an admin who is logged in can do this. Agents that were killed individually remain killed.',
    access: 'admin',
    audit: 'tenant.resurrected',
    success: { status: 200, description: 'The state', schema: tenantState },
    handle: async ({ caller, body, idempotency }) => {
      assertPerson(caller.principal);
      return answer(await changeState(needs, caller, WHOLE_TENANT, 'active', body.reason, idempotency));
    },
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/tenant/confirm-restore',
    operation: 'confirmTenantRestore',
    summary: 'Confirm a restore or an import',
    description:
      'Mandates that came back with a restore of a backup, or were imported, are suspended, and leases of the backup are void, until an admin confirms them.',
    access: 'admin',
    audit: 'tenant.restore_confirmed',
    success: { status: 204, description: 'Mandates and leases are valid again' },
    idempotent: true,
    problems: ['forbidden', 'conflict'],
    handle: ({ caller: { tenant }, idempotency }) =>
      tenant.write(async (db) => {
        await lockTenant(db, tenant.id);
        if (idempotency && (await recallKey(db, tenant.id, idempotency))) return { headers: replayHeaders(true) };
        await confirmRestored(db, tenant.id);
        if (idempotency) await rememberKey(db, tenant.id, idempotency);
        return {};
      }),
  }),
];

interface Changed {
  state: object;
  replay: boolean;
}

const answer = ({ state, replay }: Changed, more: object = {}) => ({
  body: { ...more, ...state },
  headers: replayHeaders(replay),
});

export interface Needs {
  /** Writes a committed change to the ledger. */
  record: ReturnType<typeof controlRecorder>;
  /** Called after the commit of a kill. `at`: its time by the clock of the database. */
  onKilled(tenant_id: string, agent_id: string, at: string): void;
  log: Logger;
}

async function changeState(
  { record, onKilled, log }: Needs,
  { tenant, principal }: Caller,
  agent_id: string,
  state: 'killed' | 'active',
  reason: string | undefined,
  idempotency: Idempotency | null,
): Promise<Changed> {
  const change = { agent_id, state, ...(reason !== undefined && { reason }) };
  // counts no bytes, because a full quota must not prevent a kill
  const outcome = await commitAlone(tenant, unitOf(idempotency, [eventOf(actorOf(principal), change)], 0));
  assertWritten(outcome);
  const made = outcome.made?.['agents/0'] as Stored | undefined;
  if (made && state === 'killed' && outcome.status === 'new') onKilled(tenant.id, agent_id, outcome.at);
  // nothing was written if the agent had this state for this reason
  const kept = made ? undefined : await tenant.read((db) => readKept(db, tenant.id, agent_id));
  const at = made ? outcome.at : kept!.state === state && kept!.reason === (reason ?? null) ? kept!.at : null;
  // also for a repetition, because the first attempt may have failed here
  if (at !== null) record(tenant.id, at, { kind: 'agent', id: agent_id, state, reason });
  const usage = await usageOf(log, tenant, agent_id);
  return { state: { ...(made ?? kept!.view), ...usage }, replay: outcome.status === 'replay' };
}

/** Returns what an agent has used. After a committed change, a failure to count must not become the answer. */
const usageOf = (log: Logger, tenant: Tenant, agent_id: string): Promise<object> =>
  tenant
    .read((db) => readUsage(db, tenant.id, agent_id))
    .catch((err: unknown) => {
      log.warn({ err, tenant_id: tenant.id }, 'the state of an agent was changed, but its usage could not be counted');
      return {};
    });

interface StateChange {
  agent_id: string;
  state: 'killed' | 'active';
  reason?: string;
}

const eventOf = (actor: { type: string; id: string }, { agent_id, state, reason }: StateChange) =>
  serviceEventOf({
    kind: state === 'killed' ? 'agent.killed' : 'agent.resurrected',
    session_id: agent_id,
    channel: 'team',
    actor_type: actor.type,
    actor_id: actor.id,
    ...(agent_id !== WHOLE_TENANT && { agent_id }),
    content: { agent_id, ...(reason !== undefined && { reason }) },
    effects: { agents: { agent_id, state, reason: reason ?? null } },
  });

const recorded = z.object({ id: z.string(), state: z.enum(['killed', 'active']), reason: z.string().optional() });

/** After a restore, sets the state of an agent that the ledger records. */
export const replayState: ReplayChange = async (tenant, change) => {
  const { id, state, reason } = recorded.parse(change);
  const current = await tenant.read((db) => readOwnState(db, tenant.id, id));
  if (current === state) return;
  const event = eventOf({ type: 'agent', id: 'agent-memory' }, { agent_id: id, state, ...(reason !== undefined && { reason }) });
  assertWritten(await commitAlone(tenant, unitOf(null, [event], 0)));
};
