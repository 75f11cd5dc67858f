import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { issueRoutes } from './issue.ts';
import { portable } from './portable.ts';
import { policyRoutes } from './routes.ts';
import { ruleRoutes } from './rule_routes.ts';

export const feature: Feature = {
  routes: ({ mac }) => [...policyRoutes, ...ruleRoutes, ...issueRoutes(mac)],
  prefixes: { pol: 'free', rul: 'free' },
  audit: ['policy.created', 'policy.changed', 'policy.deleted', 'rule.created', 'rule.changed', 'rule.deleted', 'mandate.issued'],
  isolation,
  tags: { Policies: 'Terms of mandates, and rules that select and compose them for a context.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
