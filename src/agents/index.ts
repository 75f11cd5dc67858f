import { ledgerOf } from '../config.ts';
import { controlRecorder } from '../erasure/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { Problem } from '../http/problem.ts';
import { KILLS } from '../redis/index.ts';
import { isolation } from './isolation.ts';
import { type KillFeed, openKillFeed } from './kill_feed.ts';
import { portable } from './portable.ts';
import { agentRoutes, replayState, tenantStateRoutes } from './routes.ts';
import { isKilled } from './sql.ts';

export const feature: Feature<KillFeed> = {
  open: ({ auth, tenants, watch, metrics, log }) => {
    // Not from the cached state of the credential, which another daemon's kill does not reach. The guard repeats the check in the
    // transaction of each write.
    auth.admit(async ({ agent_id }, tenant) => {
      if (agent_id === undefined) return undefined;
      if (await isKilled(tenant, agent_id)) throw killed();
      return { agents: { agent_id } };
    });
    return openKillFeed({ tenants, watch, metrics, log });
  },
  start: (kills) => kills.start(),
  stop: (kills) => kills.stop(),
  routes: ({ config, seal, log, redis }, kills) => {
    const record = controlRecorder({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log) });
    const onKilled: KillFeed['announce'] = (...kill) => {
      kills.announce(...kill);
      void redis?.signal(KILLS);
    };
    const needs = { log, record, onKilled };
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
