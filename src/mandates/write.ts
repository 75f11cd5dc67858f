import type { Caller } from '../auth/index.ts';
import { actorOf } from '../auth/index.ts';
import type { Outcome } from '../db/unit.ts';
import { type EventRow, serviceEventOf, unitOf } from '../db/unit.ts';
import { assertWritten } from '../http/outcome.ts';
import type { Idempotency } from '../http/route.ts';
import { parseTime } from '../time.ts';
import type { Terms } from './terms.ts';

/** An answer of the judge, and whether it was given before. */
export interface Judged {
  answer: Record<string, unknown>;
  replay: boolean;
  /** True if another request, with another Idempotency-Key or none, has been given this answer. */
  repeated?: true;
}

/** The terms that the daemon has cached have changed. */
export class StaleTerms extends Error {}

/** The fields of an effect that name the mandate as the daemon knows it. */
export const within = ({ mandate_id, chain, revision }: Terms) => ({ mandate_id, chain, revision });

type About = Pick<Terms, 'mandate_id' | 'agent_id' | 'principal'>;

/**
 * Returns the event of a change of a mandate or action. It belongs to the agent and to the principal, so that an erasure of either finds it.
 * It has no arguments and no amounts.
 */
export function controlEvent({ principal }: Caller, about: About, kind: string, content: object, effect: object): EventRow {
  const actor = actorOf(principal);
  return serviceEventOf({
    kind,
    session_id: about.mandate_id,
    channel: 'team',
    ...(about.principal !== null && { user_id: about.principal }),
    agent_id: about.agent_id,
    actor_type: actor.type,
    actor_id: actor.id,
    content: { mandate_id: about.mandate_id, ...content },
    effects: { mandates: effect },
  });
}

/** Commits the event of a change. `bytes`: 0 for a change that a full quota must not prevent. Throws the problem of a refusal. */
export async function commitChange(
  { tenant }: Caller,
  event: EventRow,
  idempotency: Idempotency | null,
  bytes?: 0,
): Promise<Judged> {
  return judgedOf(await tenant.commit(unitOf(idempotency, [event], bytes)));
}

function judgedOf(outcome: Outcome): Judged {
  const { status, refusal, made } = outcome;
  if (status === 'refused' && refusal!.code === 'stale') throw new StaleTerms();
  if (status === 'refused' && refusal!.code === 'replay')
    return { answer: withTimes(refusal!.members!), replay: true, repeated: true };
  assertWritten(outcome);
  // a change that changes nothing has no answer
  return { answer: withTimes((made?.['mandates/0'] ?? {}) as Record<string, unknown>), replay: status === 'replay' };
}

/** Converts the time of an answer to the canonical form. */
const withTimes = (answer: Record<string, unknown>) =>
  typeof answer.expires_at === 'string' ? { ...answer, expires_at: parseTime(answer.expires_at) } : answer;
