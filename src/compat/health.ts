import { openRoute } from '../auth/index.ts';
import type { Parts } from '../feature.ts';
import { answerHealth } from '../health/index.ts';

/** /health as the clients of AgentState expect it. Clients that accept only JSON get the answer of this service. */
export const healthRoute = (health: Parts['health']) =>
  openRoute({
    method: 'GET',
    path: '/health',
    operation: 'readAgentStateHealth',
    summary: 'Check the health of the service',
    description: 'With `Accept: application/json`, the answer is JSON.',
    tag: 'AgentState',
    access: 'none',
    limit: 'none',
    replaces: true,
    success: { status: 200, description: '`ok`', mediaType: 'text/plain' },
    otherAnswers: [{ status: 503, description: 'The database does not respond (`unhealthy`)', mediaType: 'text/plain' }],
    problems: [],
    handle: async ({ req }) => {
      const answer = await answerHealth(health, req);
      if (req.headers.accept === 'application/json') return answer;
      const headers = { ...answer.headers, 'Content-Type': 'text/plain; charset=utf-8' };
      return { ...answer, headers, body: answer.status === 200 ? 'ok' : 'unhealthy' };
    },
  });
