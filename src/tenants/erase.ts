import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Logger } from '../log.ts';
import { closeTenant, eraseBatch, listTenants, type Progress } from './sql.ts';

// Removes the rows of deleted tenants in short batches with pauses, so that other tenants do not wait. Any daemon resumes what another left.

const BATCH_MS = 100;
const PAUSE_MS = 50;
const POLL_INTERVAL_MS = 60_000;
const TENANTS_PER_PAGE = 1000;
/** Time for which the name stays reserved: a daemon may trust a credential of the old tenant for a minute. */
const KEEP_NAME_S = 300;

export interface Erasures {
  /** Resumes unfinished erasures now and every minute. */
  start(): void;
  /** Starts an erasure in the background. */
  erase(tenant_id: string): void;
  /** Resumes unfinished erasures once. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** Records outside the database that a tenant is about to be deleted. Returns a function to call after the deletion. `at`: the time of the database. */
export type Announce = (tenant_id: string, at: string) => () => void;

/** Closes a tenant, so that its rows can be removed. Returns false if it does not exist or is already closed. */
export async function deleteTenant(tenant: Tenant, announce: Announce): Promise<boolean> {
  let done: () => void = () => undefined;
  const closed = await tenant.write(async (db) => {
    const closing = await closeTenant(db, tenant.id);
    // last before the commit, and only by the request that closes the tenant: if it fails nothing is closed, and nothing can fail after it
    if (closing) done = announce(tenant.id, closing.at);
    return closing !== undefined;
  });
  done();
  return closed;
}

/** Removes rows until only the name is left, or until `stopped` returns true between two batches. */
export async function eraseNow(tenant: Tenant, keep_name_s = KEEP_NAME_S, stopped = () => false): Promise<Progress> {
  let progress: Progress = 'more';
  while (progress === 'more' && !stopped()) {
    progress = await eraseBatch(tenant, BATCH_MS, keep_name_s);
    if (progress === 'more') await sleep(PAUSE_MS);
  }
  return progress;
}

export function openErasures(tenants: Tenants, log: Logger, keep_name_s = KEEP_NAME_S): Erasures {
  const running = new Map<string, Promise<void>>();
  let stopped = false;

  async function eraseAll(tenant_id: string): Promise<void> {
    try {
      const progress = await eraseNow(tenants(tenant_id), keep_name_s, () => stopped);
      if (progress === 'gone') log.info({ tenant_id }, 'deleted tenant erased');
    } catch (err) {
      if (!stopped) log.warn({ err, tenant_id }, 'erasure of a tenant interrupted; it will be resumed');
    } finally {
      running.delete(tenant_id);
    }
  }

  const erase = (tenant_id: string) => {
    if (!stopped && !running.has(tenant_id)) running.set(tenant_id, eraseAll(tenant_id));
  };

  async function resume(): Promise<void> {
    for (let after: string | undefined = ''; after !== undefined && !stopped; ) {
      const page: { tenant_id: string; state: string }[] = await listTenants(tenants(''), after, TENANTS_PER_PAGE);
      for (const { tenant_id, state } of page) if (state === 'deleting') erase(tenant_id);
      after = page.length === TENANTS_PER_PAGE ? page.at(-1)!.tenant_id : undefined;
    }
    await Promise.all(running.values());
  }

  const poll = () =>
    void resume().catch((err: unknown) => stopped || log.warn({ err }, 'finding unfinished erasures of tenants failed'));
  let timer: NodeJS.Timeout | undefined;
  return {
    start: () => {
      timer = setInterval(poll, POLL_INTERVAL_MS).unref();
      poll();
    },
    erase,
    resume,
    stop: async () => {
      stopped = true;
      clearInterval(timer);
      await Promise.all(running.values());
    },
  };
}
