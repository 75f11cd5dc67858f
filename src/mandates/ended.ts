import { LRUCache } from 'lru-cache';
import type { Tenant } from '../db/tenant.ts';
import type { Mac } from '../http/idempotency.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Metrics } from '../metrics/index.ts';
import { KILLS, type RedisLink } from '../redis/index.ts';
import { within } from '../within.ts';
import { findEnd, type MandateEnd } from './sql.ts';
import type { Terms } from './terms.ts';

// Refuses actions under mandates that have ended without PostgreSQL, if Redis knows the end: docs/decisions/redis.md. An end is final, and no
// action is added after it, so Redis has the end together with the ids of all actions: a request with one of them may be a replay, which
// PostgreSQL answers. Redis contains keyed hashes only, so that nobody without the key of the daemons can forge an end.

/** PostgreSQL confirms an end at least this often. */
const TTL_MS = 60_000;
/** A set that Redis evicts soon after it was written is not written again at once. */
const WRITE_AGAIN_MS = 5000;
/** Time that an action waits for Redis, as for its request limits. */
const WAIT_MS = 50;
/** Time without requests to Redis after a failure. One request at a time ends it. */
const PAUSE_MS = 1000;
/** Maximum number of actions of a mandate whose end is kept: it bounds the hashing on the event loop to some 10 ms. */
const MAX_ACTIONS = 5000;
const MAX_MANDATES = 10_000;

// The keys have no other members; the first argument is the hash of the action.
const CHECK_END = `
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 0 end
for i = 2, #ARGV do if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then return i - 1 end end
return redis.call('EXISTS', KEYS[1]) - 1`;
/** The answer of CHECK_END if the key does not exist. */
const UNKNOWN = -1;
const KEEP = `
redis.call('DEL', KEYS[1])
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
return redis.call('PEXPIRE', KEYS[1], ARGV[1])`;

/** In the order of the arguments of CHECK_END. */
const REASONS = ['revoked', 'expired'] as const;
type EndReason = MandateEnd['reason'];

const DETAILS: Record<EndReason, string> = {
  revoked: 'the mandate, or one that it was delegated from, is revoked',
  expired: 'the mandate, or one that it was delegated from, has expired',
};

export interface EndedMandates {
  /** Throws the refusal of a new action if its mandate is known to have ended; otherwise PostgreSQL decides through `judge`. */
  judge<T>(tenant: Tenant, terms: Terms, action_id: string, judge: () => Promise<T>): Promise<T>;
  /** Lets PostgreSQL decide after a kill, whose refusal takes precedence. */
  start(): void;
}

interface Needs {
  redis: Pick<RedisLink, 'run' | 'onSignal'>;
  mac: Mac;
  metrics: Pick<Metrics, 'counter'>;
  warn(what: { err: unknown }, message: string): void;
}

export function openEnded({ redis, mac, metrics, warn }: Needs): EndedMandates {
  const count = metrics.counter('early_refusals_total', 'Actions that were refused without PostgreSQL', ['reason']);
  for (const reason of REASONS) count({ reason }, 0);
  /** The mandates that PostgreSQL refused lately, and when their ends were last read. */
  const recentlyRefused = new LRUCache<string, { read: number }>({ max: MAX_MANDATES, ttl: TTL_MS });
  /** 0 while Redis answers in time, and infinite while a late answer is awaited. */
  let pausedUntil = 0;
  const keyOf = (tenant: Tenant, { chain, revision }: Terms) => `ended:${mac(JSON.stringify([tenant.id, chain, revision]))}`;
  const hashOf = (key: string, word: string) => mac(`${key} ${word}`).slice(0, 22);

  async function keep(tenant: Tenant, { mandate_id }: Terms, key: string): Promise<void> {
    const end = await findEnd(tenant, mandate_id, MAX_ACTIONS);
    if (!end) return;
    const members = [hashOf(key, `end ${end.reason}`), ...end.actions.map((id) => hashOf(key, `action ${id}`))];
    await redis.run(KEEP, [key], [TTL_MS, ...members]);
  }

  /** Returns the answer of CHECK_END, or undefined if Redis fails or does not answer within WAIT_MS. */
  async function ask(key: string, hashes: string[]): Promise<unknown> {
    if (pausedUntil > 0) pausedUntil = Number.POSITIVE_INFINITY;
    const asked = redis.run(CHECK_END, [key], hashes).then(
      (answer) => {
        pausedUntil = 0;
        return answer;
      },
      () => {
        pausedUntil = performance.now() + PAUSE_MS;
      },
    );
    return within(asked, WAIT_MS, () => new Error('late')).catch(() => {
      pausedUntil = Number.POSITIVE_INFINITY;
    });
  }

  /** Throws the refusal of a mandate that PostgreSQL refused lately, if Redis has its end. */
  async function assertNotEnded(tenant: Tenant, terms: Terms, action_id: string): Promise<void> {
    if (recentlyRefused.size === 0 || performance.now() < pausedUntil) return;
    const key = keyOf(tenant, terms);
    const note = recentlyRefused.get(key);
    if (!note) return;
    const hashes = [`action ${action_id}`, ...REASONS.map((reason) => `end ${reason}`)].map((word) => hashOf(key, word));
    const answer = await ask(key, hashes);
    const reason = REASONS[Number(answer) - 1];
    if (reason) {
      count({ reason });
      assertWritten(refusalOf(reason));
    }
    if (answer !== UNKNOWN || performance.now() < note.read + WRITE_AGAIN_MS) return;
    note.read = performance.now();
    void keep(tenant, terms, key).catch((err: unknown) => warn({ err }, 'the end of a mandate could not be kept in Redis'));
  }

  return {
    start: () => redis.onSignal(KILLS, () => recentlyRefused.clear()),
    async judge(tenant, terms, action_id, judge) {
      await assertNotEnded(tenant, terms, action_id);
      try {
        return await judge();
      } catch (error) {
        if (error instanceof Problem && error.members.code === 'MANDATE_EXPIRED' && !recentlyRefused.has(keyOf(tenant, terms)))
          recentlyRefused.set(keyOf(tenant, terms), { read: Number.NEGATIVE_INFINITY });
        throw error;
      }
    },
  };
}

/** The refusal as PostgreSQL words it (mandate_block in functions.sql). */
const refusalOf = (reason: EndReason) => ({
  status: 'refused' as const,
  refusal: { code: 'AM403', detail: DETAILS[reason], members: { code: 'MANDATE_EXPIRED', hard: true } },
});
