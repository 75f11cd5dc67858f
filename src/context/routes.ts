import { agentOf, type Caller, isAdmin, onBehalf, route, visibilityIn } from '../auth/index.ts';
import { readCapsules } from '../capsules/index.ts';
import { aboutSubject } from '../filter/index.ts';
import { newId } from '../id.ts';
import { sha256Hex } from '../memories/index.ts';
import { MAX_RESULTS, type SearchResult, type SearchScope, scoring, searchPassages } from '../search/index.ts';
import { inSlices, type Steps } from '../slices.ts';
import { citationsOf, collectCandidates, type Sources } from './candidates.ts';
import { type Omission, type Packed, pack } from './pack.ts';
import { type ContextRequest, context, contextBody, contextQuery } from './schemas.ts';
import { type EventsRequest, type Handoff, readContextEvents, readHandoff } from './sql.ts';
import { type CountTokens, type Encoding, loadTokenCounter } from './tokens.ts';

/** Number of hits reserved for decisions. */
const MAX_DECISIONS = 40;
const MAX_HANDOFF_QUERY = 4_000;
/** Characters of capsules to consider per token of the budget. */
const CAPSULE_CHARACTERS_PER_TOKEN = 16;

/** Contexts of more tokens may run in a worker. */
const SHORT_CONTEXT = 16_000;
/** Contexts of more tokens always run in a worker; the default of `max_tokens` is lower. */
const HEAVY_CONTEXT = 65_536;
const SHORT_QUERY = 1_000;

export const contextRoutes = (encoding: Encoding) => [
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
    body: contextBody,
    success: { status: 200, description: 'The context; it is not stored', schema: context },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found'],
    heavy: ({ body: { max_tokens, query, query_text, filter, capsules } }) =>
      max_tokens > HEAVY_CONTEXT ||
      (query ?? query_text ?? '').length > SHORT_QUERY ||
      ((max_tokens > SHORT_CONTEXT || filter !== undefined || capsules.length > 0) && 'perhaps'),
    handle: async (input) => {
      const { caller, body, query } = input;
      const agent_id = agentOf(caller.principal, body.agent_id);
      const request = { ...body, ...(agent_id !== undefined && { agent_id }) };
      const { text, ...answer } = await build(onBehalf(caller, body, 'pointer'), request, encoding, input.signal);
      return { body: query.render === 'text' ? { ...answer, text } : answer };
    },
  }),
];

async function build(caller: Caller, request: ContextRequest, encoding: Encoding, signal: AbortSignal) {
  const requested = scopeOf(caller, request);
  const { tenant, principal } = caller;
  const capsules = request.capsules.length > 0 ? await readCapsules(tenant, principal, request.capsules, request.channel) : [];
  const eventsRequest = eventsRequestOf(request, requested);
  const query = request.query ?? request.query_text ?? '';
  // with a query, the handoff and the search are read concurrently; without one, the handoff provides the query
  const [handoff, queried] = await Promise.all([
    request.agent_id === undefined ? undefined : readHandoff(tenant, requested, eventsRequest),
    /\S/u.test(query) ? search(caller, query, requested, request) : undefined,
  ]);
  const result = queried ?? (handoff && (await search(caller, handoffQuery(handoff), requested, request)));
  const decision_seqs = result?.hits.filter(({ memory }) => memory?.kind === 'decision').map(({ seq }) => seq) ?? [];
  const tool_seqs = result?.hits.filter(({ kind }) => kind === 'tool_call' || kind === 'tool_result').map(({ seq }) => seq) ?? [];
  const scope = result ? { ...requested, as_of_seq: result.as_of_seq } : requested;
  const contextEvents = await readContextEvents(caller.tenant, scope, {
    ...eventsRequest,
    decision_seqs,
    tool_seqs,
    ...(handoff && handoffCitations(handoff)),
  });
  const countTokens = await loadTokenCounter(encoding);
  const maxCapsuleCharacters = request.max_tokens * CAPSULE_CHARACTERS_PER_TOKEN;
  const sources = { contextEvents, search: result, handoff, capsules, maxCapsuleCharacters, history: request.history };
  const { packed, omissions } = await inSlices(packSources(sources, request.max_tokens, countTokens), signal);
  return {
    context_id: newId('ctx'),
    budget_tokens: request.max_tokens,
    token_used: packed.token_used,
    answered: result ? result.hits.some(({ memory }) => !memory?.unsourced) : packed.sections.length > 0,
    degraded: contextEvents.partial_index ? ['partial_index'] : [],
    sections: packed.sections,
    omissions: [...packed.omissions, ...omissions],
    provenance: {
      intent: request.intent,
      query_terms: result?.terms ?? [],
      candidate_pool_size: result?.pool_size ?? new Set(contextEvents.events.map(({ seq }) => seq)).size,
      retrieved: result?.hits.length ?? 0,
      deduplicated: packed.deduplicated + (result?.deduplicated ?? 0),
      filters: { ...requested, ...(requested.filter && { filter: requested.filter.given }) },
      scoring: result ? scoring : {},
      as_of_seq: contextEvents.as_of_seq,
    },
    text: packed.text,
  };
}

function* packSources(
  sources: Sources,
  budget: number,
  countTokens: CountTokens,
): Steps<{ packed: Packed; omissions: Omission[] }> {
  const { candidates, omissions } = yield* collectCandidates(sources);
  return { packed: yield* pack(candidates, budget, countTokens), omissions };
}

/** Returns the scope of a request. `user_id` selects whose private items are visible and `agent_id` names the caller; neither hides shared items. */
function scopeOf({ principal }: Caller, request: ContextRequest): SearchScope {
  const { channel, about_user_id, project_id, as_of, as_of_seq, history } = request;
  const filter = about_user_id === undefined ? request.filter : aboutSubject(request.filter, about_user_id);
  return {
    ...visibilityIn(principal, channel, { pointer: '#/user_id' }),
    channel,
    ...(about_user_id !== undefined && { user_id: about_user_id }),
    ...(project_id !== undefined && { project_id }),
    ...(as_of !== undefined && { as_of }),
    ...(as_of_seq !== undefined && { as_of_seq }),
    ...(filter !== undefined && { filter }),
    ...(history && { history }),
    ...(isAdmin(principal) && { deleted: true }),
  };
}

/** Selects the preferences of the subject on whose behalf the context is built. */
function eventsRequestOf({ session_id, agent_id, project_id }: ContextRequest, { subjects }: SearchScope): EventsRequest {
  return {
    session_id,
    users: subjects,
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
  };
}

/** Returns the search query for a handoff: its problem and open questions. */
function handoffQuery({ content }: Handoff): string {
  const { problem = '', open_questions = [] } = (content.body ?? {}) as { problem?: string; open_questions?: string[] };
  return [problem, ...open_questions].join('\n').slice(0, MAX_HANDOFF_QUERY);
}

function handoffCitations(handoff: Handoff): Partial<EventsRequest> {
  const { ids, texts } = citationsOf(handoff);
  return { cited_ids: ids, cited_hashes: texts.map(sha256Hex), handoff_seq: handoff.seq };
}

const search = (
  { tenant }: Caller,
  query: string,
  scope: SearchScope,
  { min_score, relevance_threshold }: ContextRequest,
): Promise<SearchResult> =>
  searchPassages(tenant, {
    query,
    scope,
    limit: MAX_RESULTS,
    decisions: MAX_DECISIONS,
    min_score: min_score ?? relevance_threshold,
  });
