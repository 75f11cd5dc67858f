import type { Tenants } from '../db/tenant.ts';
import { newId } from '../id.ts';
import type { Logger } from '../log.ts';
import type { CapabilityKey, CapabilityKeys } from './keys.ts';

// Each daemon announces the keys with which it verifies. A new capability must be valid on all of them, also while they are being restarted
// with other keys one after the other.

/** A third of the 30 s after which the database forgets a daemon, so that two announcements may fail. */
const ANNOUNCE_MS = 10_000;

export interface Announcement {
  start(): void;
  stop(): Promise<void>;
}

/** Announces the keys of this daemon while it runs. */
export function announceKeys(tenants: Tenants, { accepted }: CapabilityKeys, log: Logger): Announcement {
  const daemon_id = newId('dmn');
  const announce = () =>
    tenants('')
      .call('select announce_capability_keys($1, $2)', [daemon_id, [...accepted.keys()]])
      .catch((err: unknown) => log.warn({ err }, 'the keys of capabilities could not be announced'));
  let timer: NodeJS.Timeout | undefined;
  let announced: Promise<unknown> = Promise.resolve();
  return {
    start: () => {
      announced = announce();
      timer = setInterval(() => {
        announced = announce();
      }, ANNOUNCE_MS).unref();
    },
    stop: async () => {
      clearInterval(timer);
      await announced;
      // if the database is away, it forgets the daemon by itself
      await tenants('')
        .call('select withdraw_capability_keys($1)', [daemon_id])
        .catch(() => undefined);
    },
  };
}

/** Returns the key for a new capability: NEXT, if all running daemons verify with it, so that the capability survives the promotion of NEXT. */
export async function mintingKey(tenants: Tenants, { active, next }: CapabilityKeys): Promise<CapabilityKey> {
  if (!next) return active;
  const [row] = await tenants('').call<{ everywhere: boolean }>('select is_verified_everywhere($1) as everywhere', [next.kid]);
  return row!.everywhere ? next : active;
}
