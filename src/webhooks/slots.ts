import type { DueWebhook } from './sql.ts';

// The slots of a daemon. It delivers to a limited number of webhooks at once, mostly waiting for receivers.

const PARALLEL = 32;
export const PER_TENANT = 4;
/** Slow receivers can occupy at most half of the slots. */
const PARALLEL_SLOW = PARALLEL / 2;

export const webhookKey = ({ tenant_id, webhook_id }: Pick<DueWebhook, 'tenant_id' | 'webhook_id'>): string =>
  `${tenant_id}/${webhook_id}`;

interface Assignment {
  start: DueWebhook[];
  /** Number of due webhooks that got no slot. */
  unassigned: number;
}

/**
 * Chooses the due webhooks to start. `running` has those in delivery, by `webhookKey`. The tenant with the fewest running webhooks comes
 * first, and of its webhooks the one that has waited longest.
 */
export function assignSlots(due: DueWebhook[], running: ReadonlyMap<string, Pick<DueWebhook, 'tenant_id' | 'slow'>>): Assignment {
  const occupied = [...running.values()];
  const turns = new Map(due.map(({ tenant_id: id }) => [id, occupied.filter(({ tenant_id }) => tenant_id === id).length]));
  const waiting = due.filter((one) => !running.has(webhookKey(one)));
  const start = new Set<DueWebhook>();
  const unassigned = new Set<DueWebhook>();
  for (let most = 0; most < PER_TENANT; most += 1)
    for (const one of waiting) {
      if (turns.get(one.tenant_id) !== most || start.has(one)) continue;
      const full = occupied.length >= PARALLEL || (one.slow && occupied.filter(({ slow }) => slow).length >= PARALLEL_SLOW);
      if (full) unassigned.add(one);
      else {
        start.add(one);
        occupied.push(one);
        turns.set(one.tenant_id, most + 1);
      }
    }
  return { start: [...start], unassigned: unassigned.size };
}
