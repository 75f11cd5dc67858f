import type { Feature, Parts } from '../feature.ts';
import { writeLimitsOf } from '../state/index.ts';
import { adminRoutes } from './admin_routes.ts';
import { callersOf, devModeCallersOf } from './callers.ts';
import { healthRoute } from './health.ts';
import { leaseRoutes } from './lease_routes.ts';
import { objectRoutes } from './object_routes.ts';

export const feature: Feature = {
  routes: (parts) => (parts.config.COMPAT_TENANT === undefined ? [] : routesFor(parts, parts.config.COMPAT_TENANT)),
  prefixes: { obj: 'free' },
  tags: { AgentState: 'The HTTP interface of AgentState, for its clients.' },
};

const PLAN_BUCKETS_US = [1, 10, 100, 1000, 10_000];

function routesFor(parts: Parts, tenant_id: string) {
  const { auth, config, follow, health, jobs, metrics } = parts;
  const identify = (config.DEV_MODE ? devModeCallersOf : callersOf)(auth, tenant_id);
  const needs = { identify, limitsOf: writeLimitsOf(parts), follow };
  const observePlan = metrics.histogram(
    'query_planner_micros',
    'Durations of explained AgentState queries in µs',
    PLAN_BUCKETS_US,
  );
  const admin = { identify: callersOf(auth, tenant_id), jobs, observePlan };
  return [...objectRoutes(needs), ...leaseRoutes(needs), ...adminRoutes(admin), healthRoute(health)];
}
