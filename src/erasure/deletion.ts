import { newId } from '../id.ts';
import type { Seal } from '../seal.ts';
import { type LedgerEntry, openLedger } from './ledger.ts';
import { PURPOSE } from './run.ts';

export interface DeletionNeeds {
  /** Undefined: there is no key, and no ledger. */
  seal: Seal | undefined;
  ledger: string;
  warn(fault: Record<string, unknown>, message: string): void;
}

/**
 * Writes into the ledger that a tenant is about to be deleted, and, when what it returns is called, that it was: a backup that is older
 * would bring it back with all its log-ins. Without a key a tenant can be deleted all the same, by whoever must.
 */
export const announceDeletion =
  ({ seal, ledger, warn }: DeletionNeeds) =>
  (tenant_id: string, at: string): (() => void) => {
    if (!seal) {
      warn({ tenant_id }, 'a tenant is deleted, and without ENCRYPTION_KEY no ledger says so: a restored backup brings it back');
      return () => undefined;
    }
    const job_id = newId('del');
    const entry = {
      at,
      job_id,
      tenant_id,
      kind: 'tenant' as const,
      upto_seq: 0,
      subject: seal.seal(tenant_id, PURPOSE, `${tenant_id}/${job_id}`),
    };
    const tell = (state: LedgerEntry['state']) => openLedger(ledger).append({ ...entry, state });
    tell('started');
    return () => {
      try {
        tell('completed');
      } catch (err) {
        warn({ err, tenant_id, job_id }, 'the ledger could not be told that a tenant is deleted');
      }
    };
  };
