import type { Principal } from '../../src/auth/principal.ts';
import { Problem } from '../../src/http/problem.ts';

/** Returns a logged-in member. */
export const person = (more: Partial<Principal> = {}): Principal => ({
  tenant_id: 'acme',
  kind: 'user',
  id: 'usr_1',
  user_id: 'usr_1',
  actor: { type: 'human', id: 'ann' },
  role: 'member',
  scopes: ['read', 'write'],
  subject: 'ann',
  subjects: ['ann'],
  channels: null,
  expires_at: null,
  ...more,
});

export const admin = (more: Partial<Principal> = {}) => person({ role: 'admin', scopes: ['read', 'write', 'admin'], ...more });

export const key = (more: Partial<Principal> = {}) =>
  person({ kind: 'key', id: 'key_1', actor: { type: 'agent', id: 'indexer' }, ...more });

/** Returns a key for all subjects. */
export const keyForAll = (more: Partial<Principal> = {}) => key({ subject: '*', subjects: null, ...more });

/** Returns the status, detail and locations of the problem that `work` throws; undefined if it throws none. */
export function refusalOf(work: () => unknown): { status: number; detail: string; at: unknown[] } | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return {
      status: error.status,
      detail: error.message,
      at: (error.errors ?? []).map((fault) => fault.pointer ?? fault.parameter),
    };
  }
}
