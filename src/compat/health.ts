import { openRoute } from '../auth/index.ts';
import type { Parts } from '../feature.ts';

/** The clients of AgentState expect this text from /health. The other paths of the health checks are unchanged. */
export const healthRoute = (health: Parts['health']) =>
  openRoute({
    method: 'GET',
    path: '/health',
    operation: 'readAgentStateHealth',
    summary: 'Check the health of the service',
    description: 'Returns 503 if the database does not respond.',
    tag: 'AgentState',
    access: 'none',
    limit: 'none',
    replaces: true,
    success: { status: 200, description: '`ok`', mediaType: 'text/plain' },
    otherAnswers: [{ status: 503, description: '`unhealthy`', mediaType: 'text/plain' }],
    problems: [],
    handle: async () => {
      const healthy = await health.ping().then(
        () => true,
        () => false,
      );
      const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
      return healthy ? { headers, body: 'ok' } : { status: 503, headers: { ...headers, 'Retry-After': '1' }, body: 'unhealthy' };
    },
  });
