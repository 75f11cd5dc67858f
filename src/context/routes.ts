import { agentOf, type Caller, isAdmin, onBehalf, route, sightIn } from '../auth/index.ts';
import { readCapsules } from '../capsules/index.ts';
import { aboutSubject } from '../filter/index.ts';
import { newId } from '../id.ts';
import { sha256Hex } from '../memories/index.ts';
import { type Found, find, MAX_FOUND, type Scope, scoring } from '../search/index.ts';
import { inSlices, type Steps } from '../slices.ts';
import { gather, namedBy, type Sources } from './gather.ts';
import { type Omission, type Packed, pack } from './pack.ts';
import { type ContextRequest, context, contextBody, contextQuery } from './schemas.ts';
import { type Ask, type Handoff, readHandoff, readLedger } from './sql.ts';
import { type CountTokens, type Encoding, loadTokenCounter } from './tokens.ts';

/** How many of the best decisions are read beside the best passages. */
const DECISIONS = 40;
const MAX_QUESTION = 4_000;
/** Characters of capsules that are looked at for each token of the budget. */
const ROOM_CHARACTERS = 16;

/** A context of more tokens is a long answer. */
const SHORT_CONTEXT = 16_000;
/** What is asked for unless a request says more. */
const LONG_CONTEXT = 65_536;
const SHORT_QUESTION = 1_000;

export const contextRoutes = (encoding: Encoding) => [
  route({
    method: 'POST',
    path: '/v1/context',
    operation: 'buildContext',
    summary: 'The few thousand tokens that matter for the next model call',
    tag: 'Context',
    access: 'read',
    limit: 'v1',
    query: contextQuery,
    body: contextBody,
    success: { status: 200, description: 'The bundle; nothing of it is stored', schema: context },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found'],
    heavy: ({ body: { max_tokens, query, query_text, filter, capsules } }) =>
      max_tokens > LONG_CONTEXT ||
      (query ?? query_text ?? '').length > SHORT_QUESTION ||
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
  const asked = scopeOf(caller, request);
  const { tenant, principal } = caller;
  const capsules = request.capsules.length > 0 ? await readCapsules(tenant, principal, request.capsules, request.channel) : [];
  const ask = askOf(request, asked);
  const query = request.query ?? request.query_text ?? '';
  // the question of a handoff is asked where there is no other; else neither waits for the other
  const [handoff, asking] = await Promise.all([
    request.agent_id === undefined ? undefined : readHandoff(tenant, asked, ask),
    /\S/u.test(query) ? search(caller, query, asked) : undefined,
  ]);
  const found = asking ?? (handoff && (await search(caller, questionOf(handoff), asked)));
  const decisions = found?.hits.filter(({ memory }) => memory?.kind === 'decision').map(({ seq }) => seq) ?? [];
  const tools = found?.hits.filter(({ kind }) => kind === 'tool_call' || kind === 'tool_result').map(({ seq }) => seq) ?? [];
  const scope = found ? { ...asked, as_of_seq: found.as_of_seq } : asked;
  const ledger = await readLedger(caller.tenant, scope, { ...ask, decisions, tools, ...(handoff && citedBy(handoff)) });
  const countTokens = await loadTokenCounter(encoding);
  const room = request.max_tokens * ROOM_CHARACTERS;
  const sources = { ledger, found, handoff, capsules, room, history: request.history };
  const { packed, omissions } = await inSlices(bundle(sources, request.max_tokens, countTokens), signal);
  return {
    context_id: newId('ctx'),
    budget_tokens: request.max_tokens,
    token_used: packed.token_used,
    answered: found ? found.hits.some(({ memory }) => !memory?.unsourced) : packed.sections.length > 0,
    degraded: ledger.partial_index ? ['partial_index'] : [],
    sections: packed.sections,
    omissions: [...packed.omissions, ...omissions],
    provenance: {
      intent: request.intent,
      query_terms: found?.terms ?? [],
      candidate_pool_size: found?.pool_size ?? new Set(ledger.events.map(({ seq }) => seq)).size,
      retrieved: found?.hits.length ?? 0,
      deduplicated: packed.deduplicated + (found?.collapsed ?? 0),
      filters: { ...asked, ...(asked.filter && { filter: asked.filter.given }) },
      scoring: found ? scoring : {},
      as_of_seq: ledger.as_of_seq,
    },
    text: packed.text,
  };
}

function* bundle(sources: Sources, budget: number, countTokens: CountTokens): Steps<{ packed: Packed; omissions: Omission[] }> {
  const { candidates, omissions } = yield* gather(sources);
  return { packed: yield* pack(candidates, budget, countTokens), omissions };
}

/** `user_id` says whose private items may be used, `agent_id` who asks; neither hides what is shared with them. */
function scopeOf({ principal }: Caller, request: ContextRequest): Scope {
  const { channel, about_user_id, project_id, as_of, as_of_seq, history } = request;
  const filter = about_user_id === undefined ? request.filter : aboutSubject(request.filter, about_user_id);
  return {
    ...sightIn(principal, channel, { pointer: '#/user_id' }),
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

/** Preferences are of the subject on whose behalf the context is built. */
function askOf({ session_id, agent_id, project_id }: ContextRequest, { subjects }: Scope): Ask {
  return {
    session_id,
    users: subjects,
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
  };
}

/** What the receiver of a handoff has to know, as a question. */
function questionOf({ content }: Handoff): string {
  const { problem = '', open_questions = [] } = (content.body ?? {}) as { problem?: string; open_questions?: string[] };
  return [problem, ...open_questions].join('\n').slice(0, MAX_QUESTION);
}

function citedBy(handoff: Handoff): Partial<Ask> {
  const { ids, texts } = namedBy(handoff);
  return { named: ids, hashes: texts.map(sha256Hex), handoff_seq: handoff.seq };
}

const search = (caller: Caller, query: string, scope: Scope): Promise<Found> =>
  find(caller.tenant, { query, scope, limit: MAX_FOUND, decisions: DECISIONS });
