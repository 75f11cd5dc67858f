import { type Caller, route, sightIn } from '../auth/index.ts';
import { newId } from '../id.ts';
import { type Found, find, MAX_FOUND, type Scope, scoring } from '../search/index.ts';
import { gather } from './gather.ts';
import { type Omission, pack } from './pack.ts';
import { type ContextRequest, context, contextBody, contextQuery } from './schemas.ts';
import { readLedger } from './sql.ts';
import { type Encoding, loadTokenCounter } from './tokens.ts';

/** How many of the best decisions are read beside the best passages. */
const DECISIONS = 40;

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
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden'],
    handle: async ({ caller, body, query }) => {
      const { text, ...answer } = await build(caller, body, encoding);
      return { body: query.render === 'text' ? { ...answer, text } : answer };
    },
  }),
];

async function build(caller: Caller, request: ContextRequest, encoding: Encoding) {
  const scope = scopeOf(caller, request);
  const found = /\S/u.test(request.query_text) ? await search(caller, request, scope) : undefined;
  const decisions = found?.hits.filter((hit) => hit.kind === 'decision').map(({ seq }) => seq) ?? [];
  const ledgerScope = found ? { ...scope, as_of_seq: found.as_of_seq } : scope;
  const ledger = await readLedger(caller.tenant, ledgerScope, request.session_id, [...new Set(decisions)]);
  const countTokens = await loadTokenCounter(encoding);
  const { candidates, superseded } = gather(ledger, found);
  const packed = pack(candidates, request.max_tokens, countTokens);
  const replaced: Omission[] =
    superseded.length > 0 ? [{ reason: 'superseded', count: superseded.length, candidates: superseded }] : [];
  return {
    context_id: newId('ctx'),
    budget_tokens: request.max_tokens,
    token_used: packed.token_used,
    degraded: ledger.partial_index ? ['partial_index'] : [],
    sections: packed.sections,
    omissions: [...packed.omissions, ...replaced],
    provenance: {
      intent: request.intent,
      query_terms: found?.terms ?? [],
      candidate_pool_size: found?.pool_size ?? new Set(ledger.events.map(({ seq }) => seq)).size,
      retrieved: found?.hits.length ?? 0,
      deduplicated: packed.deduplicated,
      filters: { ...scope },
      scoring: found ? scoring : {},
      as_of_seq: ledger.as_of_seq,
    },
    text: packed.text,
  };
}

/** `user_id` says whose private items may be used, `agent_id` who asks; neither hides what is shared with them. */
function scopeOf({ principal }: Caller, { channel, user_id, project_id, as_of, as_of_seq }: ContextRequest): Scope {
  return {
    ...sightIn(principal, channel, user_id),
    ...(project_id !== undefined && { project_id }),
    ...(as_of !== undefined && { as_of }),
    ...(as_of_seq !== undefined && { as_of_seq }),
  };
}

const search = (caller: Caller, { query_text }: ContextRequest, scope: Scope): Promise<Found> =>
  find(caller.tenant, { query: query_text, scope, limit: MAX_FOUND, decisions: DECISIONS });
