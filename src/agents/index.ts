import { ledgerOf } from '../config.ts';
import { controlRecorder } from '../erasure/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { Problem } from '../http/problem.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { agentRoutes, replayState, tenantStateRoutes } from './routes.ts';
import { isKilled } from './sql.ts';

export const feature: Feature = {
  open: ({ auth }) => {
    // Not from the cached state of the credential, which another daemon's kill does not reach. The guard repeats the check in the
    // transaction of each write.
    auth.admit(async ({ agent_id }, tenant) => {
      if (agent_id === undefined) return undefined;
      if (await isKilled(tenant, agent_id)) throw killed();
      return { agents: { agent_id } };
    });
  },
  routes: ({ config, seal, log }) => {
    const needs = { log, record: controlRecorder({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log) }) };
    return [...agentRoutes(needs), ...tenantStateRoutes(needs)];
  },
  replays: { agent: replayState },
  kinds: ['agent.killed', 'agent.resurrected'],
  audit: ['agent.killed', 'agent.resurrected', 'tenant.killed', 'tenant.resurrected', 'tenant.restore_confirmed'],
  isolation,
  tags: { Agents: 'The kill switch.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};

const killed = () =>
  new Problem('forbidden', 'The agent of this credential is killed.', { members: { code: 'AGENT_KILLED', hard: true } });
