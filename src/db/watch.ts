import type pg from 'pg';
import type { Logger } from '../log.ts';
import type { Pool } from './pool.ts';
import { dbOf } from './query.ts';

// Notifies subscribers when a tenant's log has grown. Commits of this daemon are reported at once, those of other daemons through NOTIFY. It
// is sent outside the writing transactions, because inside it serializes all commits of the cluster, and is coalesced. Polling finds
// whatever both miss.

const CHANNEL = 'agent_memory_log';
const SIGNALS = 'agent_memory_signals';
const COALESCE_MS = 10;
const POLL_MS = 1000;
const POLL_WITHOUT_LISTEN_MS = 200;
const RELISTEN_MS = 1000;
// PostgreSQL limits a payload to 7,999 bytes.
const MAX_PAYLOAD_TENANTS = 100;

export interface Watch {
  /** Must be called after each commit of this daemon. */
  committed(tenant: string, lastSeq: number): void;
  /** Calls back with the last seq of the log at least once after each commit. Returns a function that unsubscribes. */
  subscribe(tenant: string, listener: (lastSeq: number) => void): () => void;
  /** Calls back for every commit of this daemon and every notified commit of others, without polling. Returns a function that unsubscribes. */
  subscribeAll(listener: (tenant: string) => void): () => void;
  /** Sends a small message to all daemons, at once to this one. It may be lost, and a daemon may receive it twice. */
  signal(kind: string, message: object): void;
  onSignal(kind: string, listener: (message: object) => void): void;
  /** Returns whether notifications arrive; undefined if the connections do not support them. */
  listens(): boolean | undefined;
  /** Reads the clocks of all subscribed tenants soon, in case a notification was lost. */
  check(): void;
  start(): void;
  stop(): Promise<void>;
}

type Listener = (lastSeq: number) => void;

export function createWatch(pool: Pool, log: Logger, canListen: boolean): Watch {
  const listeners = new Map<string, Set<Listener>>();
  const everywhere = new Set<(tenant: string) => void>();
  const signals = new Map<string, ((message: object) => void)[]>();
  const pending = new Map<string, number>();
  let listening: pg.Client | undefined;
  let notifyTimer: NodeJS.Timeout | undefined;
  let pollTimer: NodeJS.Timeout | undefined;
  let checkTimer: NodeJS.Timeout | undefined;
  let stopped = false;

  const notify = (tenant: string, lastSeq: number) => listeners.get(tenant)?.forEach((listener) => listener(lastSeq));

  const notifyAll = (tenant: string, lastSeq: number) => {
    notify(tenant, lastSeq);
    for (const listener of everywhere) listener(tenant);
  };

  function committed(tenant: string, lastSeq: number): void {
    notifyAll(tenant, lastSeq);
    if (!canListen || stopped) return;
    // two batches may be answered out of order
    pending.set(tenant, Math.max(lastSeq, pending.get(tenant) ?? 0));
    notifyTimer ??= setTimeout(() => void announce(), COALESCE_MS);
  }

  async function announce(): Promise<void> {
    notifyTimer = undefined;
    const batch = [...pending].slice(0, MAX_PAYLOAD_TENANTS);
    for (const [tenant] of batch) pending.delete(tenant);
    if (pending.size > 0) notifyTimer = setTimeout(() => void announce(), COALESCE_MS);
    // Polling finds the events of a lost notification.
    await send(CHANNEL, batch);
  }

  const send = (channel: string, payload: unknown): Promise<unknown> =>
    pool
      .using((client) => client.query('select pg_notify($1, $2)', [channel, JSON.stringify(payload)]))
      .catch((err) => log.debug({ err }, 'a notification could not be sent'));

  const receive = (kind: string, message: object) => signals.get(kind)?.forEach((listener) => listener(message));

  async function listen(): Promise<void> {
    if (stopped || !canListen) return;
    try {
      const client = await pool.dedicated();
      client.on('notification', ({ channel, payload = '[]' }) => {
        if (channel === SIGNALS) receive(...(JSON.parse(payload) as [string, object]));
        else for (const [tenant, lastSeq] of JSON.parse(payload) as [string, number][]) notifyAll(tenant, lastSeq);
      });
      client.once('end', () => {
        listening = undefined;
        setTimeout(() => void listen(), RELISTEN_MS).unref();
      });
      await client.query(`listen ${CHANNEL}; listen ${SIGNALS}`);
      listening = client;
      if (stopped) await client.end();
    } catch (err) {
      log.debug({ err }, 'cannot listen; polling instead');
      setTimeout(() => void listen(), RELISTEN_MS).unref();
    }
  }

  async function poll(): Promise<void> {
    await readClocks();
    if (!stopped) pollTimer = setTimeout(() => void poll(), listening ? POLL_MS : POLL_WITHOUT_LISTEN_MS);
  }

  function check(): void {
    if (stopped) return;
    checkTimer ??= setTimeout(() => void readClocks().then(() => (checkTimer = undefined)), COALESCE_MS);
  }

  async function readClocks(): Promise<void> {
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
        for (const { tenant_id, last_seq } of clocks) notify(tenant_id, last_seq);
      }
    } catch (err) {
      log.debug({ err }, 'the logs could not be polled');
    }
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
    check,
    subscribe,
    subscribeAll: (listener) => {
      everywhere.add(listener);
      return () => void everywhere.delete(listener);
    },
    signal: (kind, message) => {
      receive(kind, message);
      if (canListen && !stopped) void send(SIGNALS, [kind, message]);
    },
    onSignal: (kind, listener) => void signals.set(kind, [...(signals.get(kind) ?? []), listener]),
    listens: () => (canListen ? listening !== undefined : undefined),
    start: () => {
      void listen();
      void poll();
    },
    stop: async () => {
      stopped = true;
      clearTimeout(notifyTimer);
      clearTimeout(pollTimer);
      clearTimeout(checkTimer);
      await listening?.end();
    },
  };
}
