import type { Db } from '../db/query.ts';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Outcome, Unit } from '../db/unit.ts';
import type { AgentState } from './schemas.ts';

type Usage = Pick<AgentState, 'mandates' | 'spent_micros'>;
export type Stored = Omit<AgentState, 'agent_id' | keyof Usage>;

/** Returns whether the agent is killed, by itself or with the tenant. Concurrent look-ups share a round trip. */
export const isKilled = async (tenant: Tenant, agent_id: string): Promise<boolean> =>
  (await tenant.lookUp(
    { text: 'select agent_id from killed_among($1, $2)', name: 'killed_among', id: 'agent_id' },
    agent_id,
    [],
  )) !== undefined;

/** Returns the state of an agent, or of the whole tenant, and what it has used. */
export async function readState(db: Db, tenant_id: string, agent_id: string): Promise<Stored & Usage> {
  const row = await db.row<{ state: Stored; usage: Usage }>(
    'select state_of_agent($1, $2) as state, agent_usage($1, $2) as usage',
    [tenant_id, agent_id],
  );
  return { ...row!.state, ...row!.usage };
}

export async function readUsage(db: Db, tenant_id: string, agent_id: string): Promise<Usage> {
  return (await db.row<{ usage: Usage }>('select agent_usage($1, $2) as usage', [tenant_id, agent_id]))!.usage;
}

/** Returns the state of the agent itself, regardless of its tenant's. */
export async function readOwnState(db: Db, tenant_id: string, agent_id: string): Promise<'killed' | 'active'> {
  const row = await db.row<{ state: 'killed' | 'active' }>(
    'select state from agent_states where tenant_id = $1 and agent_hash = agent_hash($2)',
    [tenant_id, agent_id],
  );
  return row?.state ?? 'active';
}

/** The state of an agent as the API shows it, and the last change of the agent itself; null if there was none. */
export interface Kept {
  view: Stored;
  state: 'killed' | 'active' | null;
  reason: string | null;
  at: string | null;
}

export async function readKept(db: Db, tenant_id: string, agent_id: string): Promise<Kept> {
  const row = await db.row<Kept>(
    `select state_of_agent($1, $2) as view, s.state, s.reason, s.updated_at as at
     from (select) one left join agent_states s on s.tenant_id = $1 and s.agent_hash = agent_hash($2)`,
    [tenant_id, agent_id],
  );
  return row!;
}

/** Commits a change of state alone: in a batch with other writes, some of them could follow the kill in the log. */
export const commitAlone = (tenant: Tenant, unit: Unit): Promise<Outcome> =>
  tenant.change('select status, outcome, at from commit_units($1, $2::jsonb)', [tenant.id, JSON.stringify([unit])]);

/** Ends the suspension of what came back with a restore or was imported. */
export const confirmRestored = (db: Db, tenant_id: string): Promise<number> => db.run('select confirm_restored($1)', [tenant_id]);

/** Lets requests with equal Idempotency-Keys take turns. */
export const lockTenant = (db: Db, tenant_id: string): Promise<number> =>
  db.run('select from tenants where tenant_id = $1 for no key update', [tenant_id]);

/** A kill that was announced or found. */
export interface Kill {
  tenant_id: string;
  agent_hash: string;
  killed_at: string;
}

const PAGE = 1000;

/** Yields the kills of the last `back_s` seconds in all tenants. */
export async function* recentKills(tenants: Tenants, back_s: number): AsyncGenerator<Kill & { age_s: number }> {
  let after = ['-infinity', '', ''];
  for (;;) {
    const page = await tenants('').call<Kill & { exact_at: string; age_s: number }>(
      'select tenant_id, agent_hash, killed_at, exact_at, age_s from recent_kills($1, $2, $3, $4, $5)',
      [back_s, ...after, PAGE],
      'recent_kills',
    );
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < PAGE) return;
    after = [last.exact_at, last.tenant_id, last.agent_hash];
  }
}

/** Returns the seconds since a time by the clock of the database. */
export async function ageOf(tenants: Tenants, at: string): Promise<number> {
  const [row] = await tenants('').call<{ age_s: number }>(
    'select extract(epoch from clock_timestamp() - $1::timestamptz)::float8 as age_s',
    [at],
    'age_of',
  );
  // `at` is rounded to milliseconds
  return Math.max(0, row!.age_s);
}
