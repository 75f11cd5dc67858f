import { ALL_SUBJECTS, type Caller } from '../auth/index.ts';
import type { Mac } from '../http/idempotency.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import { narrow } from './narrowing.ts';
import { noMandate, readerOf } from './rights.ts';
import {
  type Definition,
  type DelegateBody,
  MAX_DEFINITION,
  type MandateBody,
  type MandateView,
  storedBytes,
} from './schemas.ts';
import { findMandate, type MandateRow } from './sql.ts';
import { withTemplate } from './templates.ts';
import type { Terms } from './terms.ts';
import { commitChange, controlEvent, type Judged } from './write.ts';

// Creates mandates: from a request, or by delegation from another one.

const MAX_CHAIN = 8;

interface NewMandate {
  mandate_id?: string | undefined;
  agent_id: string;
  principal: string | null;
  definition: Definition;
  expires_at: string | null;
  parent?: Terms;
  /** The policies and rules that it was composed from. Part of its event and of the answer. */
  origin?: Record<string, unknown>;
}

/** Returns the mandate that a request describes. */
export function mandateOf({ principal: caller }: Caller, body: MandateBody): NewMandate {
  const { mandate_id, agent_id, principal, ...given } = body;
  const own = caller.subject === ALL_SUBJECTS ? null : caller.subject;
  return { mandate_id, agent_id, principal: principal ?? own, ...withTemplate(given, Date.now()) };
}

/** Returns the mandate that a request delegates. Throws `validation` if it is wider than its parent. */
export function delegatedOf(parent: Terms, body: DelegateBody): NewMandate {
  if (parent.chain.length >= MAX_CHAIN)
    throw new Problem('validation', `A chain of delegations has at most ${MAX_CHAIN} mandates.`, {
      errors: [{ parameter: 'mandate_id', detail: 'must not be at the end of a chain of maximum length' }],
    });
  const { mandate_id, agent_id = parent.agent_id, principal = parent.principal, ...given } = body;
  const bounds = { definition: parent.links.at(-1)!.definition, expires_at: parent.expires_at };
  const { definition, expires_at, faults } = narrow(bounds, withTemplate(given, Date.now()));
  const [first] = faults;
  if (first) throw new Problem('validation', `${first.pointer}: ${first.detail}`, { errors: faults });
  return { mandate_id, agent_id, principal, definition, expires_at, parent };
}

/** Writes a mandate. Returns its id, which a retry with the same Idempotency-Key returns again. */
export async function issueMandate(mac: Mac, caller: Caller, made: NewMandate, idempotency: Idempotency | null): Promise<Judged> {
  const { mandate_id = newId('man'), agent_id, principal, definition, expires_at, parent, origin } = made;
  if (storedBytes(definition) > MAX_DEFINITION)
    throw new Problem(
      'validation',
      `The terms of a mandate have at most ${MAX_DEFINITION} bytes, with those of its policies or parent.`,
    );
  const revision = newId('evt');
  const effect = {
    op: 'create',
    mandate_id,
    // by which an erasure replaces the id, so that it stays taken
    ...(made.mandate_id !== undefined && {
      id_hash: `erased_${mac(JSON.stringify([caller.tenant.id, mandate_id])).slice(0, 32)}`,
    }),
    revision,
    chain: [...(parent?.chain ?? []), mandate_id],
    agent_id,
    principal,
    definition,
    expires_at,
    ...(origin && { origin }),
  };
  // without the id of the parent, which an erasure of the parent's agent could not remove from it
  const event = controlEvent(caller, { mandate_id, agent_id, principal }, 'mandate.created', { ...origin }, effect);
  return commitChange(caller, { ...event, event_id: revision }, idempotency);
}

/** Returns a mandate with its usage. Throws `not-found` if the reader may not read it. */
export async function readMandate(
  { tenant, principal }: Caller,
  mandate_id: string,
  reader = readerOf(principal),
): Promise<MandateView> {
  const row = await tenant.read((db) => findMandate(db, tenant.id, reader, mandate_id));
  if (!row) throw noMandate();
  return viewOf(row);
}

export function viewOf({ chain, definition, ...row }: MandateRow): MandateView {
  const { spent_micros, reserved_micros, remaining_micros, calls, overdrawn_micros, revoked_at, ...shown } = row;
  return {
    ...definition,
    ...shown,
    ...(chain.length > 1 && { parent_id: chain.at(-2)! }),
    ...(revoked_at !== null && { revoked_at }),
    usage: { spent_micros, reserved_micros, remaining_micros, calls, overdrawn_micros },
  };
}
