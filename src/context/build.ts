import { type Caller, type FieldLocation, isAdmin, visibilityIn } from '../auth/index.ts';
import { readCapsules } from '../capsules/index.ts';
import type { ContextConfig } from '../context_settings.ts';
import type { Models } from '../embeddings/index.ts';
import { aboutSubject, filter } from '../filter/index.ts';
import { newId } from '../id.ts';
import { sha256Hex } from '../memories/index.ts';
import { MAX_RESULTS, type SearchResult, type SearchScope, scoring, searchPassages } from '../search/index.ts';
import { inSlices, type Steps } from '../slices.ts';
import { citationsOf, collectCandidates, type Sources } from './candidates.ts';
import { type Layout, type Omission, type Packed, pack, type SectionName, sectionNames } from './pack.ts';
import { type RenderingName, renderings } from './renderings.ts';
import type { ContextRequest, ProfileRequest } from './schemas.ts';
import { type EventsRequest, type Handoff, readContextEvents, readHandoff, readProfile } from './sql.ts';
import { type StrategyName, strategies, strategyOf } from './strategies.ts';
import { loadTokenCounter } from './tokens.ts';

/** Number of hits reserved for decisions. */
const MAX_DECISIONS = 40;
const MAX_HANDOFF_QUERY = 4_000;
/** Characters of capsules to consider per token of the budget. */
const CAPSULE_CHARACTERS_PER_TOKEN = 16;
/** The text of a context whose query found nothing begins with this line. */
const NOTHING_FOUND = 'Nothing in memory matches the query.';

type Reading = Omit<ContextRequest, 'session_id'> & {
  session_id?: string;
  render?: RenderingName | undefined;
  /** Narrows the context to what is recorded for an agent. */
  of_agent?: string | undefined;
  /** Where the request names `user_id`; by default in its body. */
  user_id_at?: FieldLocation;
  /** The subjects whose preferences apply, if not those of the caller. */
  preferences_of?: string[];
};

/** The settings and the models that a context is built with. */
export type Resources = ContextConfig & { models: Models };

export async function buildContext(caller: Caller, request: Reading, config: Resources, signal: AbortSignal) {
  const requested = scopeOf(caller, request);
  const { tenant, principal } = caller;
  const capsules = request.capsules.length > 0 ? await readCapsules(tenant, principal, request.capsules, request.channel) : [];
  const eventsRequest = { ...eventsRequestOf(request, requested), l1_size: config.CONTEXT_L1_SIZE };
  const query = request.query ?? request.query_text ?? '';
  // with a query, the handoff and the search are read concurrently; without one, the handoff provides the query
  const [handoff, queried] = await Promise.all([
    request.agent_id === undefined ? undefined : readHandoff(tenant, requested, eventsRequest),
    /\S/u.test(query) ? search(caller, config.models, query, requested, request) : undefined,
  ]);
  const result = queried ?? (handoff && (await search(caller, config.models, handoffQuery(handoff), requested, request)));
  const scope = result ? { ...requested, as_of_seq: result.as_of_seq } : requested;
  const contextEvents = await readContextEvents(tenant, scope, {
    ...eventsRequest,
    ...foundSeqs(result),
    ...(handoff && handoffCitations(handoff)),
  });
  const intent = strategyOf(request, config.CONTEXT_STRATEGY);
  const kept = keptSections(request, strategies[intent].profile || asksForProfile(result));
  const { as_of_seq } = contextEvents;
  const profile = kept.includes('profile')
    ? await readProfile(tenant, { ...requested, as_of_seq }, eventsRequest, config.CONTEXT_L2_SIZE)
    : undefined;
  const answered = result ? result.hits.some(({ memory }) => !memory?.unsourced) : undefined;
  const foundNothing = queried !== undefined && queried.terms.length > 0 && answered === false;
  const sources = {
    contextEvents,
    search: result,
    handoff,
    profile,
    own: requested.subjects ?? [],
    intent,
    kept,
    capsules,
  };
  const { packed, omissions } = await packSources(sources, request, foundNothing, config, signal);
  return {
    context_id: newId('ctx'),
    budget_tokens: request.max_tokens,
    token_used: packed.token_used,
    answered: answered ?? packed.sections.length > 0,
    degraded: [...new Set([...(contextEvents.partial_index ? ['partial_index'] : []), ...(result?.degraded ?? [])])],
    sections: packed.sections,
    omissions: [...packed.omissions, ...omissions],
    provenance: {
      intent,
      query_terms: result?.terms ?? [],
      ...(result?.corrected && { corrected: result.corrected }),
      candidate_pool_size: result?.pool_size ?? new Set(contextEvents.events.map(({ seq }) => seq)).size,
      retrieved: result?.hits.length ?? 0,
      deduplicated: packed.deduplicated + (result?.deduplicated ?? 0),
      filters: { ...requested, ...(requested.filter && { filter: requested.filter.given }) },
      scoring: result ? scoring : {},
      models: result ? config.models.names : {},
      as_of_seq,
    },
    text: packed.text,
  };
}

/** Builds a profile: a context without a query, from the sections that state what is held about its topic. */
export async function buildProfile(caller: Caller, request: ProfileRequest, config: Resources, signal: AbortSignal) {
  const { about_user_id, agent_id, ...rest } = request;
  const { sections, token_used, degraded } = await buildContext(
    caller,
    {
      ...rest,
      ...(about_user_id !== undefined && { about_user_id, preferences_of: [about_user_id] }),
      of_agent: agent_id,
      user_id_at: { parameter: 'user_id' },
      sections: ['rules', 'profile', 'task_state'],
      history: false,
      capsules: [],
    },
    config,
    signal,
  );
  return { sections, token_used, degraded };
}

/** Sorts and packs what was read, in slices. */
async function packSources(
  sources: Omit<Sources, 'history' | 'strategy' | 'maxCapsuleCharacters'> & { intent: StrategyName },
  request: Reading,
  foundNothing: boolean,
  config: ContextConfig,
  signal: AbortSignal,
): Promise<{ packed: Packed; omissions: Omission[] }> {
  const { max_tokens } = request;
  const countTokens = await loadTokenCounter(config.TOKENIZER);
  const maxCapsuleCharacters = max_tokens * CAPSULE_CHARACTERS_PER_TOKEN;
  const steps = function* (): Steps<{ packed: Packed; omissions: Omission[] }> {
    const { candidates, omissions } = yield* collectCandidates({
      ...sources,
      history: request.history,
      strategy: strategies[sources.intent],
      maxCapsuleCharacters,
    });
    return {
      packed: yield* pack(candidates, max_tokens, countTokens, layoutOf(request, sources.intent, foundNothing)),
      omissions,
    };
  };
  return inSlices(steps(), signal);
}

/** Words that ask for what is held, and not for a thing. English; in other languages, `sections` and `intent` request a profile. */
const GENERIC_TERMS = new Set(['know', 'tell', 'rememb', 'recal', 'everyth', 'anyth', 'someth', 'continu', 'resum', 'proceed']);

/** Returns true if the query names nothing to search for. */
const asksForProfile = (result: SearchResult | undefined): boolean =>
  (result?.terms ?? []).every((term) => GENERIC_TERMS.has(term));

/** Returns the sections to build. A request that names the profile has one whatever its query. */
function keptSections({ sections }: Reading, withProfile: boolean): readonly SectionName[] {
  const byDefault = sectionNames.filter((name) => name !== 'profile' || withProfile);
  if (sections === undefined) return byDefault;
  if (Array.isArray(sections)) return sections;
  return sectionNames.filter((name) => (sections[name] === undefined ? byDefault.includes(name) : sections[name] > 0));
}

function layoutOf({ sections, render = 'text' }: Reading, intent: StrategyName, foundNothing: boolean): Layout {
  const caps = sections === undefined || Array.isArray(sections) ? {} : sections;
  const { shares } = strategies[intent];
  return { shares: { ...shares, ...caps }, caps, rendering: renderings[render], ...(foundNothing && { notice: NOTHING_FOUND }) };
}

/** Returns the scope of a request. `user_id` selects whose private items are visible and `agent_id` names the caller; neither hides shared items. */
function scopeOf({ principal }: Caller, request: Reading): SearchScope {
  const { channel, about_user_id, project_id, of_agent, as_of, as_of_seq, history } = request;
  const ofAgent = of_agent === undefined ? request.filter : filter.parse({ agent_id: of_agent });
  const narrowed = about_user_id === undefined ? ofAgent : aboutSubject(ofAgent, about_user_id);
  return {
    ...visibilityIn(principal, channel, request.user_id_at ?? { pointer: '#/user_id' }),
    channel,
    ...(about_user_id !== undefined && { user_id: about_user_id }),
    ...(project_id !== undefined && { project_id }),
    ...(of_agent !== undefined && { agent_id: of_agent }),
    ...(as_of !== undefined && { as_of }),
    ...(as_of_seq !== undefined && { as_of_seq }),
    ...(narrowed !== undefined && { filter: narrowed }),
    ...(history && { history }),
    ...(isAdmin(principal) && { deleted: true }),
  };
}

/** Selects the preferences of the subject on whose behalf the context is built. */
function eventsRequestOf(
  { session_id, agent_id, project_id, preferences_of }: Reading,
  { subjects }: SearchScope,
): EventsRequest {
  return {
    ...(session_id !== undefined && { session_id }),
    users: preferences_of ?? subjects,
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
  };
}

/** Returns the seqs of the decisions, and of the calls and results, that a search found. */
const foundSeqs = (result: SearchResult | undefined): Pick<EventsRequest, 'decision_seqs' | 'tool_seqs'> => ({
  decision_seqs: result?.hits.filter(({ memory }) => memory?.kind === 'decision').map(({ seq }) => seq) ?? [],
  tool_seqs: result?.hits.filter(({ kind }) => kind === 'tool_call' || kind === 'tool_result').map(({ seq }) => seq) ?? [],
});

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
  models: Models,
  query: string,
  scope: SearchScope,
  { min_score, relevance_threshold }: Reading,
): Promise<SearchResult> =>
  searchPassages(tenant, models, {
    query,
    scope,
    limit: MAX_RESULTS,
    decisions: MAX_DECISIONS,
    min_score: min_score ?? relevance_threshold,
  });
