import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import { Problem } from '../http/problem.ts';
import type { Logger } from '../log.ts';
import { type Place, readTurns } from './sql.ts';

// Requests that wait for a lease. The queue is in the database; this daemon keeps a promise for each of its own requests and asks, for all of a
// tenant together, whose turn it is. It asks after each commit of the tenant that it hears of, when the first lease or request in the way
// expires, and at least once a second.

/** Longest time between two looks, in case a notification is lost. */
const POLL_MS = 1000;
/** Shortest time between two looks: a busy tenant commits thousands of times a second. */
const PAUSE_MS = 20;

interface Waiting extends Place {
  wake(): void;
}

interface Queue {
  waiting: Set<Waiting>;
  /** Interrupts the pause between two looks. */
  nudge: () => void;
  changed: boolean;
}

export interface Queues {
  /** Resolves when it may be the turn of the request, or after `ms`. Rejects with `unavailable` if the daemon stops. */
  turn(tenant: Tenant, place: Place, ms: number, signal: AbortSignal): Promise<void>;
  /** Number of requests of this daemon that wait. */
  size(): number;
  /** Ends all waiting. */
  stop(): void;
}

export function openQueues(watch: Pick<Watch, 'subscribe'>, log: Logger): Queues {
  const queues = new Map<string, Queue>();
  const stopping = new AbortController();

  function join(tenant: Tenant, waiting: Waiting): () => void {
    const queue = queues.get(tenant.id) ?? open(tenant);
    queue.waiting.add(waiting);
    touch(queue);
    return () => void queue.waiting.delete(waiting);
  }

  function open(tenant: Tenant): Queue {
    const queue: Queue = { waiting: new Set(), nudge: () => undefined, changed: true };
    queues.set(tenant.id, queue);
    void serve(tenant, queue);
    return queue;
  }

  function touch(queue: Queue): void {
    queue.changed = true;
    queue.nudge();
  }

  /** Looks until no request of the tenant waits any more. */
  async function serve(tenant: Tenant, queue: Queue): Promise<void> {
    const unsubscribe = watch.subscribe(tenant.id, () => touch(queue));
    // the caller adds its request after this function has returned its promise
    await Promise.resolve();
    while (queue.waiting.size > 0 && !stopping.signal.aborted) {
      queue.changed = false;
      const next_ms = await look(tenant, queue.waiting).catch((err) => {
        log.debug({ err, tenant_id: tenant.id }, 'the queues of leases could not be read');
        return POLL_MS;
      });
      await sleep(PAUSE_MS);
      if (!queue.changed) await pause(queue, next_ms);
    }
    unsubscribe();
    queues.delete(tenant.id);
  }

  return {
    turn: async (tenant, place, ms, signal) => {
      const ended = AbortSignal.any([signal, stopping.signal, AbortSignal.timeout(Math.ceil(ms))]);
      let leave: () => void = () => undefined;
      await new Promise<void>((resolve) => {
        leave = join(tenant, { ...place, wake: resolve });
        ended.addEventListener('abort', () => resolve(), { once: true });
        if (ended.aborted) resolve();
      });
      leave();
      if (stopping.signal.aborted)
        throw new Problem('unavailable', 'The daemon is stopping.', { headers: { 'Retry-After': '1' } });
    },
    size: () => [...queues.values()].reduce((sum, { waiting }) => sum + waiting.size, 0),
    stop: () => {
      stopping.abort();
      for (const queue of queues.values()) queue.nudge();
    },
  };
}

/** Wakes the requests whose turn it is. Returns after how many ms to look again at the latest. */
async function look(tenant: Tenant, waiting: Set<Waiting>): Promise<number> {
  const first = new Map<string, Waiting>();
  for (const one of waiting) if (one.place < (first.get(one.key)?.place ?? Number.POSITIVE_INFINITY)) first.set(one.key, one);
  let next_ms = POLL_MS;
  for (const { key, due, wait_ms } of await readTurns(tenant, [...first.values()]))
    if (due) first.get(key)!.wake();
    else next_ms = Math.min(next_ms, Math.max(wait_ms ?? 0, 1));
  return next_ms;
}

/** Waits until something changes, at most `ms`. */
const pause = (queue: Queue, ms: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    queue.nudge = () => {
      clearTimeout(timer);
      resolve();
    };
  });
