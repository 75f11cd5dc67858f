import { createHash } from 'node:crypto';
import type { ArgsCheck } from '../mandates/args_size.ts';
import { type Evaluation, evaluate } from '../mandates/evaluate.ts';
import type { Definition } from '../mandates/schemas.ts';
import type { ActionRequest, Authorised, Blocked, Settlement, SettleRequest, Usage } from './state_manager.ts';

// The sums of one mandate in the memory of this process. The terms are evaluated as the service evaluates them; the order of the checks and
// the charges are those of src/mandates/functions.sql.

interface Row {
  request: string;
  type: ActionRequest['type'];
  state: 'open' | 'lapsed' | 'settled';
  estimate: number;
  reserved: number;
  charged: number;
  expires_at: number;
  terms: Evaluation['terms'];
  failed?: boolean;
}

/** Ended actions whose ids are remembered. */
const MAX_ENDED = 100_000;

export interface Ledger {
  authorise(body: ActionRequest, killed: boolean): Authorised | Blocked;
  settle(action_id: string, body: SettleRequest): Settlement;
  usage(): Usage;
  /** Ends the open actions, as a kill does. */
  expireOpen(): void;
}

interface Terms {
  definition: Definition;
  expiresAt: number | undefined;
  argsCheckOf(pattern: string): ArgsCheck | undefined;
}

export function createLedger({ definition, expiresAt, argsCheckOf }: Terms): Ledger {
  const link = { mandate_id: '', definition, argsCheckOf };
  const limit = definition.max_cost_total_micros;
  const actions = new Map<string, Row>();
  const open = new Set<Row>();
  const windows = new Map<string, number[]>();
  const sums = { spent: 0, reserved: 0, calls: 0, cognition: 0, execution: 0 };

  const charge = (row: Row, micros: number) => {
    sums.spent += micros - row.charged;
    sums[row.type === 'llm_call' ? 'cognition' : 'execution'] += micros - row.charged;
    row.charged = micros;
  };
  const release = (row: Row, state: Row['state']) => {
    sums.reserved -= row.reserved;
    row.reserved = 0;
    row.state = state;
    open.delete(row);
  };
  const lapse = (now: number) => {
    for (const row of open)
      if (row.expires_at <= now) {
        release(row, 'lapsed');
        charge(row, row.terms.lapse_micros);
      }
  };
  const remaining = () => (limit === undefined ? null : Math.max(0, limit - sums.spent - sums.reserved));
  const overdrawn = () => Math.max(0, limit === undefined ? 0 : sums.spent + sums.reserved - limit);

  /** Returns the times of the calls in the window of a rate limit. */
  const callsIn = (entry: string, window_ms: number, now: number): number[] => {
    const calls = (windows.get(entry) ?? []).filter((at) => at > now - window_ms);
    windows.set(entry, calls);
    return calls;
  };
  const rateFault = (rates: Evaluation['tool_rates'], now: number): Blocked | undefined => {
    const full = rates.find(({ entry, max_calls, window_ms }) => callsIn(entry, window_ms, now).length >= max_calls);
    if (!full) return undefined;
    const first = callsIn(full.entry, full.window_ms, now).at(-full.max_calls);
    const retryAfterMs = first === undefined ? full.window_ms : Math.max(1, first + full.window_ms - now);
    return { code: 'RATE_LIMIT_EXCEEDED', reason: 'the rate limit is reached', hard: false, retryAfterMs };
  };

  /** Returns why the action may not begin. The order is part of the interface: see docs/control.md. */
  const refusalOf = (known: Row | undefined, request: string, killed: boolean, found: Evaluation, now: number) => {
    const { early, per_call, tool_rates, agent_rates, reserve } = found;
    if (known && !(known.state === 'settled' && known.failed && known.charged === 0 && known.request === request))
      return blocked('DUPLICATE_ACTION', 'the action id was used before');
    if (killed) return blocked('AGENT_KILLED', 'the agent is killed');
    if (expiresAt !== undefined && expiresAt <= now) return blocked('MANDATE_EXPIRED', 'the mandate has expired');
    if (early) return fromRefusal(early);
    return (
      rateFault(tool_rates, now) ??
      (per_call && fromRefusal(per_call)) ??
      (limit !== undefined && sums.spent + sums.reserved + reserve > limit
        ? blocked('COST_LIMIT_EXCEEDED', 'the total of the mandate would be exceeded')
        : rateFault(agent_rates, now))
    );
  };

  return {
    authorise: (body, killed) => {
      const now = Date.now();
      lapse(now);
      const request = createHash('sha256').update(JSON.stringify(body)).digest('base64');
      const found = evaluate([link], body);
      const refusal = refusalOf(actions.get(body.action_id), request, killed, found, now);
      if (refusal) return refusal;
      for (const { entry } of [...found.tool_rates, ...found.agent_rates]) windows.get(entry)!.push(now);
      sums.calls += 1;
      sums.reserved += found.reserve;
      const { reserve, terms, ttl_ms } = found;
      const { type, estimate_micros: estimate } = body;
      // at the end of the map, also if the id was used by a failed attempt
      actions.delete(body.action_id);
      const expires_at = now + ttl_ms;
      const row: Row = { request, type, state: 'open', estimate, reserved: reserve, charged: 0, expires_at, terms };
      actions.set(body.action_id, row);
      open.add(row);
      dropOldest(actions);
      return { decision: 'allow', remaining_micros: remaining() };
    },
    settle: (action_id, body) => {
      lapse(Date.now());
      const row = actions.get(action_id);
      if (row?.state !== 'open' && row?.state !== 'lapsed') throw new Error('the action is not open');
      const late = row.state === 'lapsed';
      release(row, 'settled');
      charge(row, chargeOf(row, body));
      row.failed = body.outcome === 'failure';
      return { charged_micros: row.charged, remaining_micros: remaining(), overdrawn_micros: overdrawn(), ...(late && { late }) };
    },
    expireOpen: () => {
      for (const row of open) row.expires_at = Date.now();
      lapse(Date.now());
    },
    usage: () => {
      lapse(Date.now());
      const { spent, calls, cognition, execution } = sums;
      return {
        spent_micros: spent,
        remaining_micros: remaining(),
        calls,
        cognition_micros: cognition,
        execution_micros: execution,
      };
    },
  };
}

const blocked = (code: Blocked['code'], reason: string): Blocked => ({ code, reason, hard: true });

const fromRefusal = ({ detail, members }: NonNullable<Evaluation['early']>): Blocked =>
  blocked((members as { code: Blocked['code'] }).code, detail);

function dropOldest(actions: Map<string, Row>): void {
  if (actions.size <= MAX_ENDED) return;
  for (const [id, { state }] of actions)
    if (state !== 'open') {
      actions.delete(id);
      return;
    }
}

/** The TypeScript form of `charge_of` in src/mandates/functions.sql. */
function chargeOf({ terms: { charging, price, verify }, estimate }: Row, body: SettleRequest): number {
  const { outcome, actual_micros, tokens, verified } = body;
  const success = outcome === 'success';
  if (typeof charging === 'object' && 'tiered' in charging) {
    const { attempt_micros, success_micros, verification_micros = 0 } = charging.tiered;
    return attempt_micros + (success ? success_micros : 0) + (verified ? verification_micros : 0);
  }
  if (charging === 'SUCCESS' && !(success && (verified ?? !verify))) return 0;
  return actual_micros ?? (tokens && price ? tokenCost(tokens, price) : estimate);
}

/** Rounds up. BigInt, because tokens × price can exceed 2^53. */
function tokenCost(tokens: NonNullable<SettleRequest['tokens']>, price: NonNullable<Evaluation['terms']['price']>): number {
  const millionths =
    BigInt(tokens.input) * BigInt(price.input_micros_per_million) +
    BigInt(tokens.output) * BigInt(price.output_micros_per_million);
  return Number((millionths + 999_999n) / 1_000_000n);
}
