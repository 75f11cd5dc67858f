import { newId } from '../id.ts';
import type { Seal } from '../seal.ts';
import { type LedgerEntry, openLedger } from './ledger.ts';
import { PURPOSE } from './run.ts';

export interface DeletionNeeds {
  /** Undefined if no encryption key is configured; there is no ledger then. */
  seal: Seal | undefined;
  ledger: string;
  warn(fault: Record<string, unknown>, message: string): void;
}

/**
 * Records in the ledger that a tenant is about to be deleted. The returned function records that it was deleted. Without these entries a
 * restored older backup would bring the tenant back with all its logins. Without a key the tenant is deleted anyway, with a warning.
 */
export const announceDeletion =
  ({ seal, ledger, warn }: DeletionNeeds) =>
  (tenant_id: string, at: string): (() => void) => {
    if (!seal) {
      warn(
        { tenant_id },
        'a tenant is deleted without a ledger entry, because ENCRYPTION_KEY is not set; a restored backup would bring it back',
      );
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
    const record = (state: LedgerEntry['state']) => openLedger(ledger).append({ ...entry, state });
    record('started');
    return () => {
      try {
        record('completed');
      } catch (err) {
        warn({ err, tenant_id, job_id }, 'the deletion of a tenant could not be recorded in the ledger');
      }
    };
  };
