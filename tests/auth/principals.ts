import type { Principal } from '../../src/auth/principal.ts';
import { Problem } from '../../src/http/problem.ts';

/** A member who is logged in. */
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

/** A key for all subjects. */
export const keyForAll = (more: Partial<Principal> = {}) => key({ subject: '*', subjects: null, ...more });

/** The status of a refusal, its text, and where it points; undefined where nothing is refused. */
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
