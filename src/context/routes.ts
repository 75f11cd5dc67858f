import { agentOf, onBehalf, route } from '../auth/index.ts';
import { buildContext, buildProfile, type Resources } from './build.ts';
import { context, contextBodyOf, contextQuery, profile, profileQuery } from './schemas.ts';

/** Contexts of more tokens may run in a worker. */
const SHORT_CONTEXT = 16_000;
/** Contexts of more tokens always run in a worker; the default of `max_tokens` is lower. */
const HEAVY_CONTEXT = 65_536;
const SHORT_QUERY = 1_000;

export const contextRoutes = (config: Resources) => [
  route({
    method: 'POST',
    path: '/v1/context',
    operation: 'buildContext',
    summary: 'Build the context for the next model call',
    description: 'Returns the relevant items within a token budget, and the list of items that did not fit or were excluded.',
    tag: 'Context',
    access: 'read',
    limit: 'v1',
    query: contextQuery,
    body: contextBodyOf(config.CONTEXT_MAX_TOKENS),
    success: { status: 200, description: 'The context; it is not stored', schema: context },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found'],
    heavy: ({ body: { max_tokens, query, query_text, filter, capsules } }) =>
      max_tokens > HEAVY_CONTEXT ||
      (query ?? query_text ?? '').length > SHORT_QUERY ||
      ((max_tokens > SHORT_CONTEXT || filter !== undefined || capsules.length > 0) && 'perhaps'),
    handle: async (input) => {
      const { caller, body, query } = input;
      const agent_id = agentOf(caller.principal, body.agent_id);
      const { render } = query;
      const request = { ...body, render, ...(agent_id !== undefined && { agent_id }) };
      const { text, ...answer } = await buildContext(onBehalf(caller, body, 'pointer'), request, config, input.signal);
      if (render === 'messages') return { body: { ...answer, messages: [{ role: 'user' as const, content: text }] } };
      return { body: render === undefined ? answer : { ...answer, text } };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/profile',
    operation: 'readProfile',
    summary: 'Get what is held about a user, project or agent',
    description:
      'Returns the standing rules and preferences, facts, open tasks, recent topics and people, within a token budget. Derived without a model.',
    tag: 'Context',
    access: 'read',
    limit: 'v1',
    query: profileQuery,
    success: { status: 200, description: 'The profile; it is not stored', schema: profile },
    problems: ['validation', 'forbidden'],
    heavy: ({ query: { max_tokens } }) => max_tokens > SHORT_CONTEXT && 'perhaps',
    handle: async ({ caller, query, signal }) => ({
      body: await buildProfile(onBehalf(caller, query), query, config, signal),
    }),
  }),
];
