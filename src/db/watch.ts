import type pg from 'pg';
import type { Logger } from '../log.ts';
import type { Pool } from './pool.ts';
import { dbOf } from './query.ts';

// Tells who waits that a tenant's log has grown. Own commits at once; those of other daemons by NOTIFY, which is sent outside
// the writing transactions (inside, it serialises all commits of the cluster) and coalesced; a poll is the net below both.

const CHANNEL = 'agent_memory_log';
const COALESCE_MS = 10;
const POLL_MS = 1000;
const POLL_WITHOUT_LISTEN_MS = 200;
const RELISTEN_MS = 1000;
// PostgreSQL's limit of a payload is 7,999 bytes
const MAX_PAYLOAD_TENANTS = 100;

export interface Watch {
  /** To be called after each commit of this daemon. */
  committed(tenant: string, lastSeq: number): void;
  /** Calls back with the log's last seq, at least once for each time that it grew. Returns how to stop. */
  subscribe(tenant: string, listener: (lastSeq: number) => void): () => void;
  /** Calls back for every commit of this daemon, and those of others that are heard of; none is polled for. Returns how to stop. */
  subscribeAll(listener: (tenant: string) => void): () => void;
  start(): void;
  stop(): Promise<void>;
}

type Listener = (lastSeq: number) => void;

export function createWatch(pool: Pool, log: Logger, canListen: boolean): Watch {
  const listeners = new Map<string, Set<Listener>>();
  const everywhere = new Set<(tenant: string) => void>();
  const news = new Map<string, number>();
  let listening: pg.Client | undefined;
  let notifyTimer: NodeJS.Timeout | undefined;
  let pollTimer: NodeJS.Timeout | undefined;
  let stopped = false;

  const tell = (tenant: string, lastSeq: number) => listeners.get(tenant)?.forEach((listener) => listener(lastSeq));

  const tellAll = (tenant: string, lastSeq: number) => {
    tell(tenant, lastSeq);
    for (const listener of everywhere) listener(tenant);
  };

  function committed(tenant: string, lastSeq: number): void {
    tellAll(tenant, lastSeq);
    if (!canListen || stopped) return;
    // answers of two batches may overtake each other
    news.set(tenant, Math.max(lastSeq, news.get(tenant) ?? 0));
    notifyTimer ??= setTimeout(() => void announce(), COALESCE_MS);
  }

  async function announce(): Promise<void> {
    notifyTimer = undefined;
    const batch = [...news].slice(0, MAX_PAYLOAD_TENANTS);
    for (const [tenant] of batch) news.delete(tenant);
    if (news.size > 0) notifyTimer = setTimeout(() => void announce(), COALESCE_MS);
    // A lost announcement is found by the poll.
    await pool
      .using((client) => client.query('select pg_notify($1, $2)', [CHANNEL, JSON.stringify(batch)]))
      .catch((err) => log.debug({ err }, 'an announcement was not sent'));
  }

  async function listen(): Promise<void> {
    if (stopped || !canListen) return;
    try {
      const client = await pool.dedicated();
      client.on('notification', ({ payload }) => {
        for (const [tenant, lastSeq] of JSON.parse(payload ?? '[]') as [string, number][]) tellAll(tenant, lastSeq);
      });
      client.once('end', () => {
        listening = undefined;
        setTimeout(() => void listen(), RELISTEN_MS).unref();
      });
      await client.query(`listen ${CHANNEL}`);
      listening = client;
      if (stopped) await client.end();
    } catch (err) {
      log.debug({ err }, 'cannot listen; polling instead');
      setTimeout(() => void listen(), RELISTEN_MS).unref();
    }
  }

  async function poll(): Promise<void> {
    try {
      const tenants = [...listeners.keys()];
      if (tenants.length > 0) {
        const clocks = await pool.using((client) =>
          dbOf(client, pool.named).rows<{ tenant_id: string; last_seq: number }>(
            'select tenant_id, last_seq from read_clocks($1)',
            [tenants],
            'read_clocks',
          ),
        );
        for (const { tenant_id, last_seq } of clocks) tell(tenant_id, last_seq);
      }
    } catch (err) {
      log.debug({ err }, 'the logs could not be polled');
    }
    if (!stopped) pollTimer = setTimeout(() => void poll(), listening ? POLL_MS : POLL_WITHOUT_LISTEN_MS);
  }

  function subscribe(tenant: string, listener: Listener): () => void {
    const set = listeners.get(tenant) ?? new Set();
    listeners.set(tenant, set.add(listener));
    return () => {
      set.delete(listener);
      if (set.size === 0 && listeners.get(tenant) === set) listeners.delete(tenant);
    };
  }

  return {
    committed,
    subscribe,
    subscribeAll: (listener) => {
      everywhere.add(listener);
      return () => void everywhere.delete(listener);
    },
    start: () => {
      void listen();
      void poll();
    },
    stop: async () => {
      stopped = true;
      clearTimeout(notifyTimer);
      clearTimeout(pollTimer);
      await listening?.end();
    },
  };
}
