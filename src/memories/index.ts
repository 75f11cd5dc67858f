import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { effect } from './effect_handler.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { memoryRoutes } from './routes.ts';
import { eventKinds, memoryKinds } from './schemas.ts';
import { openSources } from './sources.ts';
import { sweepMemories } from './sql.ts';
import { findUnreadableMemories } from './unreadable.ts';

export { sha256Hex } from './effect.ts';
export { memoryReads } from './lists.ts';
export { isAct } from './sources.ts';

export const feature: Feature = {
  routes: ({ config, registry, bounds, secrets, changed }) => {
    const sources = openSources(config.CREDENTIAL_TTL_MS);
    changed.on(sources.forget);
    return memoryRoutes({ ...bounds.events, citedPrefixes: registry.citedPrefixes }, secrets, sources);
  },
  sweeps: () => [sweepMemories],
  conflicts: {
    memories__one_doing: 'The agent already has a task in progress.',
    memories__same: 'Another active memory has the same content.',
  },
  effects: { memories: effect },
  kinds: [...eventKinds, ...memoryKinds],
  prefixes: { mem: 'cited' },
  audit: ['memory.approved', 'memory.rejected'],
  isolation,
  tags: {
    Memories:
      'Versioned statements that currently hold: decisions, tasks, facts, preferences, rules, notes, summaries and handoffs.',
  },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
  unreadable: findUnreadableMemories,
};
