import { createHash } from 'node:crypto';
import type { Tenants } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics/index.ts';
import { WHOLE_TENANT } from './schemas.ts';
import { ageOf, type Kill, recentKills } from './sql.ts';

// Measures how long a kill takes to reach this daemon. A signal announces each kill; a poll finds those that no signal has brought. Without
// notifications, the poll is the only way. Enforcement depends on neither, because transactions read the state of the agent.

const POLL_MS = 5_000;
/** A poll overlaps the previous one, because a kill becomes visible when its transaction ends. */
const OVERLAP_S = 30;
/** Duration for which a kill is remembered. */
const KEPT_MS = 120_000;
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface KillFeed {
  /** Announces a kill that this daemon has committed to all daemons. */
  announce(tenant_id: string, agent_id: string, at: string): void;
  start(): void;
  stop(): Promise<void>;
}

interface Needs {
  tenants: Tenants;
  watch: Pick<Watch, 'signal' | 'onSignal' | 'listens'>;
  metrics: Pick<Metrics, 'counter' | 'gauge' | 'histogram'>;
  log: Logger;
}

/** As agent_hash in functions.sql. */
const hashOf = (agent_id: string) => createHash('sha256').update(`agent:${agent_id}`).digest('hex');
const keyOf = ({ tenant_id, agent_hash, killed_at }: Kill) => JSON.stringify([tenant_id, agent_hash, Date.parse(killed_at)]);

export function openKillFeed({ tenants, watch, metrics, log }: Needs): KillFeed {
  const sent = metrics.counter('kill_signals_total', 'Kills that this daemon has committed and announced', ['scope']);
  for (const scope of ['agent', 'tenant'] as const) sent({ scope }, 0);
  const missed = metrics.counter('kills_missed_total', 'Kills that no signal has brought to this daemon', []);
  const delay = metrics.histogram(
    'kill_propagation_seconds',
    'Time from a kill until this daemon received it, by the clock of the database',
    BUCKETS_S,
  );
  let checked_s: number | undefined;
  metrics.gauge('kills_checked_timestamp_seconds', 'Time of the last search for kills that no signal brought', () => checked_s);

  /** Kills that a signal or an earlier poll has brought, with the time. */
  const seen = new Map<string, number>();
  /** Kills that the last poll found first. Their signal may still be on its way. */
  let unannounced = new Set<string>();

  watch.onSignal('kill', (message) => {
    const kill = message as Kill;
    const key = keyOf(kill);
    if (seen.has(key)) return;
    seen.set(key, performance.now());
    void ageOf(tenants, kill.killed_at).then(delay, (err) => log.debug({ err }, 'the propagation of a kill was not measured'));
  });

  async function poll(back_s: number, first: boolean): Promise<void> {
    const found = new Set<string>();
    for await (const kill of recentKills(tenants, back_s)) {
      const key = keyOf(kill);
      if (seen.has(key)) continue;
      const isExpected = watch.listens() !== undefined;
      if (!first && isExpected && !unannounced.has(key)) {
        found.add(key);
        continue;
      }
      seen.set(key, performance.now());
      if (first) continue;
      delay(kill.age_s);
      if (!isExpected) continue;
      missed({});
      log.warn({ tenant_id: kill.tenant_id }, 'a kill did not reach this daemon by a signal');
    }
    unannounced = found;
    checked_s = Date.now() / 1000;
    for (const [key, at] of seen) if (at < performance.now() - KEPT_MS - 1000 * back_s) seen.delete(key);
  }

  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<unknown> = Promise.resolve();
  let stopped = false;
  let last: number | undefined;
  function pollAfter(ms: number): void {
    timer = setTimeout(() => {
      const begun = performance.now();
      polling = poll(OVERLAP_S + (last === undefined ? 0 : (begun - last) / 1000), last === undefined)
        .then(
          () => {
            last = begun;
          },
          (err) => log.debug({ err }, 'the search for kills failed'),
        )
        .then(() => stopped || pollAfter(POLL_MS));
    }, ms);
    timer.unref();
  }

  return {
    announce: (tenant_id, agent_id, at) => {
      sent({ scope: agent_id === WHOLE_TENANT ? 'tenant' : 'agent' });
      watch.signal('kill', { tenant_id, agent_hash: hashOf(agent_id), killed_at: at });
    },
    start: () => pollAfter(0),
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await polling;
    },
  };
}
