import { ledgerOf } from '../config.ts';
import { controlRecorder } from '../erasure/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { actionRoutes } from './action_routes.ts';
import type { ActionNeeds } from './actions.ts';
import { openEnded } from './ended.ts';
import { actionFigures, tallies } from './figures.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { replayRevocation } from './revocation.ts';
import { mandateRoutes } from './routes.ts';
import { sweepCalls, sweepEnded, sweepExpired } from './sql.ts';
import { createTermsCache } from './terms.ts';

export { matches } from './globs.ts';
export { issueMandate, readMandate } from './issue.ts';
export {
  type Definition,
  definition,
  definitionFields,
  MAX_DEFINITION,
  MAX_LISTED,
  mandate,
  storedBytes,
  type ToolPolicy,
} from './schemas.ts';
export { MAX_PATTERNS, policiesFault } from './size.ts';

export const feature: Feature<ActionNeeds> = {
  open: ({ mac, secrets, seal, config, log, redis, metrics }) => ({
    ...{ cache: createTermsCache(), mac, secrets, figures: actionFigures(metrics) },
    record: controlRecorder({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log) }),
    ended: redis && openEnded({ redis, mac, metrics, warn: log.warn.bind(log) }),
  }),
  replays: { mandate: replayRevocation },
  routes: (_, needs) => [...mandateRoutes(needs), ...actionRoutes(needs)],
  tallies,
  start: ({ ended }) => ended?.start(),
  sweeps: () => [sweepExpired, sweepEnded, sweepCalls],
  kinds: ['mandate.created', 'mandate.revoked', 'action.allowed', 'action.deferred', 'action.settled', 'action.decided'],
  prefixes: { man: 'free' },
  audit: ['mandate.created', 'mandate.revoked', 'mandate.delegated', 'action.decided'],
  isolation,
  tags: { Mandates: 'Limits of the spending and the tools of an agent, and its actions.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
