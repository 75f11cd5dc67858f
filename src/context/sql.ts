import type { Tenant } from '../db/tenant.ts';
import type { Scope } from '../search/index.ts';

/** One event that a context may hold without its being found. */
export interface LedgerEvent {
  part: 'task' | 'decision' | 'recent';
  seq: number;
  event_id: string;
  kind: string;
  actor_id: string;
  content: Record<string, unknown>;
  artifact_id: string | null;
  /** A newer decision says that it replaces this one. */
  superseded: boolean;
  occurred_at: string;
  words: string[] | null;
}

export interface Ledger {
  as_of_seq: number;
  /** A rebuild runs: not every passage can be found. */
  partial_index: boolean;
  events: LedgerEvent[];
}

type Row = LedgerEvent | { part: 'clock'; as_of_seq: number; partial_index: boolean };

/** One round trip. `decisions` are those that a search found, by seq; the newest come unasked. */
export async function readLedger(tenant: Tenant, scope: Scope, session_id: string, decisions: number[]): Promise<Ledger> {
  const rows = await tenant.call<Row>('select * from read_ledger($1, $2, $3, $4)', [tenant.id, scope, session_id, decisions]);
  const clock = rows.find((row) => row.part === 'clock') as Extract<Row, { part: 'clock' }>;
  const events = rows.filter((row): row is LedgerEvent => row.part !== 'clock').sort((a, b) => b.seq - a.seq);
  return { as_of_seq: clock.as_of_seq, partial_index: clock.partial_index, events };
}
