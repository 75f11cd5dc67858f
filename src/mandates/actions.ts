import type { Caller } from '../auth/index.ts';
import type { controlRecorder } from '../erasure/index.ts';
import type { Mac } from '../http/idempotency.ts';
import { canonicalJson } from '../http/json.ts';
import type { Idempotency } from '../http/route.ts';
import type { Secrets } from '../secrets/index.ts';
import type { EndedMandates } from './ended.ts';
import { evaluate } from './evaluate.ts';
import type { ActionFigures } from './figures.ts';
import { withTerms } from './rights.ts';
import type { ActionBody, Authorisation, SettleBody } from './schemas.ts';
import type { TermsCache } from './terms.ts';
import { commitChange, controlEvent, type Judged, within } from './write.ts';

export interface ActionNeeds {
  cache: TermsCache;
  mac: Mac;
  secrets: Secrets;
  figures: ActionFigures;
  /** Refuses early with Redis; undefined without it. */
  ended: EndedMandates | undefined;
  /** Writes a committed change to the ledger. */
  record: ReturnType<typeof controlRecorder>;
}

/** Authorises or defers an action. Throws the problem of a refusal, which writes nothing. */
export const authorise = (
  { cache, mac, secrets, figures, ended }: ActionNeeds,
  caller: Caller,
  mandate_id: string,
  body: ActionBody,
  idempotency: Idempotency | null,
): Promise<Judged> =>
  withTerms(cache, caller, mandate_id, async (terms) => {
    const { tenant, principal } = caller;
    const evaluation = evaluate(terms.links, body);
    const { action_id, type, tool, model, args, estimate_micros } = body;
    const defers = evaluation.decision === 'defer' && args !== undefined;
    const screened = defers
      ? await (await secrets.of(tenant)).screenAsync(args, { pointer: '#/args', aad: action_id })
      : undefined;
    const effect = {
      op: 'authorise',
      ...within(terms),
      ...{ action_id, type, tool, model, estimate_micros },
      request_hash: mac(canonicalJson(body)),
      args_hash: args && mac(canonicalJson(args)),
      args: screened?.value,
      asked_by: principal.id,
      asked_user: principal.user_id,
      ...evaluation,
    };
    const kind = evaluation.decision === 'defer' ? 'action.deferred' : 'action.allowed';
    const event = controlEvent(caller, terms, kind, { action_id, type, tool, model }, effect);
    const judge = () => commitChange(caller, event, idempotency);
    // with an Idempotency-Key, the request may be a replay
    const judged = ended && !idempotency ? ended.judge(tenant, terms, action_id, judge) : judge();
    return figures.checked(terms.links, judged);
  });

/** Returns 202 for a deferred action, and 201 otherwise. */
export const statusOf = (answer: Record<string, unknown>): 201 | 202 =>
  (answer as Authorisation).decision === 'defer' ? 202 : 201;

interface ActionParams {
  mandate_id: string;
  action_id: string;
}

export const settle = (
  { cache, mac, figures }: ActionNeeds,
  caller: Caller,
  { mandate_id, action_id }: ActionParams,
  body: SettleBody,
  idempotency: Idempotency | null,
): Promise<Judged> =>
  withTerms(cache, caller, mandate_id, (terms) => {
    const effect = { op: 'settle', ...within(terms), action_id, settle_hash: mac(canonicalJson(body)), ...body };
    const event = controlEvent(caller, terms, 'action.settled', { action_id, outcome: body.outcome }, effect);
    return figures.settled(body.outcome, commitChange(caller, event, idempotency, 0));
  });

export const decide = (
  { cache }: ActionNeeds,
  caller: Caller,
  { mandate_id, action_id }: ActionParams,
  body: { decision: 'allow' | 'deny'; note?: string | undefined },
  idempotency: Idempotency | null,
): Promise<Judged> =>
  withTerms(cache, caller, mandate_id, (terms) => {
    const { principal } = caller;
    const decider = { decider: principal.id, decider_user: principal.user_id, is_login: principal.kind === 'user' };
    const effect = { op: 'decide', ...within(terms), action_id, decision: body.decision, ...decider };
    return commitChange(caller, controlEvent(caller, terms, 'action.decided', { action_id, ...body }, effect), idempotency, 0);
  });
