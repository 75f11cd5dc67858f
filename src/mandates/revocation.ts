import { z } from 'zod';
import { serviceEventOf, unitOf } from '../db/unit.ts';
import type { ReplayChange } from '../erasure/index.ts';
import { assertWritten } from '../http/outcome.ts';
import { findTerms, isRevoked } from './sql.ts';

const recorded = z.object({ id: z.string(), reason: z.string().optional() });

/** After a restore, revokes a mandate whose revocation the ledger records. */
export const replayRevocation: ReplayChange = async (tenant, change) => {
  const { id, reason } = recorded.parse(change);
  const { terms, revoked } = await tenant.read(async (db) => ({
    terms: await findTerms(db, tenant.id, id),
    revoked: await isRevoked(db, tenant.id, id),
  }));
  // made after the backup, or revoked before it
  if (!terms || revoked) return;
  const { mandate_id, chain, revision, agent_id, principal } = terms;
  const event = serviceEventOf({
    kind: 'mandate.revoked',
    session_id: mandate_id,
    channel: 'team',
    ...(principal !== null && { user_id: principal }),
    agent_id,
    actor_type: 'agent',
    actor_id: 'agent-memory',
    content: { mandate_id, ...(reason !== undefined && { reason }) },
    effects: { mandates: { op: 'revoke', mandate_id, chain, revision } },
  });
  assertWritten(await tenant.commit(unitOf(null, [event], 0)));
};
