import type { Feature, Parts } from '../feature.ts';
import { writeLimitsOf } from '../state/index.ts';
import { callersOf, developersOf } from './callers.ts';
import { healthRoute } from './health.ts';
import { leaseRoutes } from './lease_routes.ts';
import { objectRoutes } from './object_routes.ts';

export const feature: Feature = {
  routes: (parts) => (parts.config.COMPAT_TENANT === undefined ? [] : routesFor(parts, parts.config.COMPAT_TENANT)),
  prefixes: { obj: 'free' },
  tags: { AgentState: 'The HTTP interface of AgentState, for its clients.' },
};

function routesFor(parts: Parts, tenant_id: string) {
  const { auth, config, follow, health } = parts;
  const identify = (config.DEV_MODE ? developersOf : callersOf)(auth, tenant_id);
  const needs = { identify, limitsOf: writeLimitsOf(parts), follow };
  return [...objectRoutes(needs), ...leaseRoutes(needs), healthRoute(health)];
}
