import type { DueWebhook } from './sql.ts';

// Who may be delivered for now. One daemon delivers for so many subscriptions at once; mostly it waits for receivers.

const PARALLEL = 32;
export const PER_TENANT = 4;
/** Of slow receivers, few tenants or many, at most half of the places wait. */
const PARALLEL_SLOW = PARALLEL / 2;

export const webhookKey = ({ tenant_id, webhook_id }: Pick<DueWebhook, 'tenant_id' | 'webhook_id'>): string =>
  `${tenant_id}/${webhook_id}`;

interface Assignment {
  start: DueWebhook[];
  /** So many found no place. */
  unassigned: number;
}

/**
 * Which of those that are due begin beside those that run, which are named by `webhookKey`. The tenant with the fewest turns comes first, among
 * equals the one that has waited longest.
 */
export function assignSlots(due: DueWebhook[], running: ReadonlyMap<string, Pick<DueWebhook, 'tenant_id' | 'slow'>>): Assignment {
  const taken = [...running.values()];
  const turns = new Map(due.map(({ tenant_id: own }) => [own, taken.filter(({ tenant_id }) => tenant_id === own).length]));
  const waiting = due.filter((one) => !running.has(webhookKey(one)));
  const start = new Set<DueWebhook>();
  const unassigned = new Set<DueWebhook>();
  for (let most = 0; most < PER_TENANT; most += 1)
    for (const one of waiting) {
      if (turns.get(one.tenant_id) !== most || start.has(one)) continue;
      const full = taken.length >= PARALLEL || (one.slow && taken.filter(({ slow }) => slow).length >= PARALLEL_SLOW);
      if (full) unassigned.add(one);
      else {
        start.add(one);
        taken.push(one);
        turns.set(one.tenant_id, most + 1);
      }
    }
  return { start: [...start], unassigned: unassigned.size };
}
