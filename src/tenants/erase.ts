import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Logger } from '../log.ts';
import { closeTenant, eraseBatch, listTenants, type Progress } from './sql.ts';

// Removing what a deleted tenant had: short batches with pauses, so that nobody else waits; any daemon takes up what another left.

const BATCH_MS = 100;
const PAUSE_MS = 50;
const LOOK_EVERY_MS = 60_000;
const TENANTS_A_PAGE = 1000;
/** A daemon may trust a credential of the old tenant for a minute: longer than that nobody else may have its name. */
const KEEP_NAME_S = 300;

export interface Erasures {
  /** Looks for what others left, now and every minute. */
  start(): void;
  /** Begins, and returns at once. */
  erase(tenant_id: string): void;
  /** Looks for what others left, once. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** Says, apart from the database, that a tenant is about to be deleted; what it returns is called when it is. `at`: by the database's clock, as its tenants' times are. */
export type Announce = (tenant_id: string, at: string) => () => void;

/** Closes it: its rows are then to be removed. False: there is none, or it is closed already. */
export async function deleteTenant(tenant: Tenant, announce: Announce): Promise<boolean> {
  let done: () => void = () => undefined;
  const closed = await tenant.write(async (db) => {
    const closing = await closeTenant(db, tenant.id);
    // last before the commit, and only by who closes it: where it cannot be said nothing is closed, and nothing else can fail after it
    if (closing) done = announce(tenant.id, closing.at);
    return closing !== undefined;
  });
  done();
  return closed;
}

/** Until nothing is left but the name, or it is told to stop between two batches. */
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
      if (progress === 'gone') log.info({ tenant_id }, 'a deleted tenant is erased');
    } catch (err) {
      if (!stopped) log.warn({ err, tenant_id }, 'an erasure was interrupted; it is taken up again');
    } finally {
      running.delete(tenant_id);
    }
  }

  const erase = (tenant_id: string) => {
    if (!stopped && !running.has(tenant_id)) running.set(tenant_id, eraseAll(tenant_id));
  };

  async function resume(): Promise<void> {
    for (let after: string | undefined = ''; after !== undefined && !stopped; ) {
      const page: { tenant_id: string; state: string }[] = await listTenants(tenants(''), after, TENANTS_A_PAGE);
      for (const { tenant_id, state } of page) if (state === 'deleting') erase(tenant_id);
      after = page.length === TENANTS_A_PAGE ? page.at(-1)!.tenant_id : undefined;
    }
    await Promise.all(running.values());
  }

  const look = () => void resume().catch((err: unknown) => stopped || log.warn({ err }, 'looking for erasures failed'));
  let timer: NodeJS.Timeout | undefined;
  return {
    start: () => {
      timer = setInterval(look, LOOK_EVERY_MS).unref();
      look();
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
