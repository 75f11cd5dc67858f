import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { type Auth, openRoute } from '../auth/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { Problem } from '../http/problem.ts';
import type { Reply } from '../http/route.ts';
import { within } from '../within.ts';
import { isolation } from './isolation.ts';

/** State for the health checks. `phase` changes from starting to serving to draining. */
export interface Health {
  phase: 'starting' | 'serving' | 'draining';
  /** Resolves if the database answers, otherwise rejects. */
  ping(): Promise<void>;
  /** Returns true if the request has a valid credential. */
  isAuthenticated(req: IncomingMessage): Promise<boolean>;
}

export const feature: Feature = {
  routes: ({ health }) => healthRoutes(health),
  isolation,
  tags: { 'Health and metrics': 'Probes for load balancers and orchestrators, and metrics. They require no credential.' },
  examples: () => readExamples(import.meta.dirname),
};

export const openHealth = (ping: () => Promise<unknown>, { identify }: Pick<Auth, 'identify'>): Health => ({
  phase: 'starting',
  ping: sharePing(ping),
  isAuthenticated: (req) =>
    identify(req).then(
      () => true,
      () => false,
    ),
});

const PING_TIMEOUT_MS = 2000;
const PING_KEPT_MS = 500;

/** Runs one ping at a time and reuses its result for a moment, so that the checks of many load balancers need one connection. */
function sharePing(ping: () => Promise<unknown>): () => Promise<void> {
  let last: { at: number; result: Promise<void> } | undefined;
  return () => {
    if (last && performance.now() - last.at < PING_KEPT_MS) return last.result;
    const result = within(ping(), PING_TIMEOUT_MS, () => new Error('the database did not answer a ping')).then(() => undefined);
    result.catch(() => undefined);
    last = { at: performance.now(), result };
    return result;
  };
}

const report = z.object({ status: z.string(), timestamp: z.string() }).loose().meta({ id: 'Health' });
const shared = { method: 'GET', tag: 'Health and metrics', access: 'none', limit: 'none' } as const;

const answers = ({ ping }: Health): Promise<boolean> =>
  ping().then(
    () => true,
    () => false,
  );

/** Returns true if the service accepts requests: the answer of /ready. */
export const isReady = async (health: Health): Promise<boolean> => health.phase === 'serving' && (await answers(health));

/** Returns the answer of /health: 503 if the database does not respond. */
export async function answerHealth(health: Health, req: IncomingMessage): Promise<Reply> {
  const healthy = await answers(health);
  return {
    status: healthy ? 200 : 503,
    ...(!healthy && { headers: { 'Retry-After': '1' } }),
    body: {
      status: healthy ? 'healthy' : 'unhealthy',
      timestamp: new Date().toISOString(),
      authenticated: healthy && (await health.isAuthenticated(req)),
      uptime_s: Math.round(process.uptime()),
    },
  };
}

function healthRoutes(health: Health) {
  const live = (path: string, operation: string) =>
    openRoute({
      ...shared,
      path,
      operation,
      summary: 'Check that the process is running',
      description: 'Does not access the database.',
      success: { status: 200, description: 'The process is running', schema: report },
      problems: [],
      handle: async () => ({ body: { status: 'alive', timestamp: new Date().toISOString() } }),
    });
  const ready = (path: string, operation: string) =>
    openRoute({
      ...shared,
      path,
      operation,
      summary: 'Check that the service accepts requests',
      description: 'Returns 503 during startup and shutdown, and while the database does not respond.',
      success: { status: 200, description: 'The service accepts requests', schema: report },
      problems: ['unavailable'],
      handle: async () => {
        if (!(await isReady(health)))
          throw new Problem(
            'unavailable',
            health.phase === 'serving' ? 'The database does not respond.' : `The daemon is ${health.phase}.`,
            { headers: { 'Retry-After': '1' } },
          );
        return { body: { status: 'ready', timestamp: new Date().toISOString() } };
      },
    });
  return [
    openRoute({
      ...shared,
      path: '/health',
      operation: 'readHealth',
      summary: 'Check the health of the service',
      description: 'Returns 503 if the database does not respond. `authenticated` is true if the request has a valid credential.',
      success: { status: 200, description: 'The service is healthy', schema: report },
      otherAnswers: [{ status: 503, description: 'The database does not respond (`unhealthy`)', schema: report }],
      problems: [],
      handle: ({ req }) => answerHealth(health, req),
    }),
    live('/health/live', 'readLive'),
    live('/health/liveness', 'readLiveness'),
    ready('/health/ready', 'readHealthReady'),
    ready('/health/readiness', 'readReadiness'),
    ready('/ready', 'readReady'),
  ];
}
