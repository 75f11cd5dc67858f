import type { IncomingMessage } from 'node:http';
import type { Tenants } from '../db/tenant.ts';
import type { Route } from '../http/route.ts';
import { type AuthSettings, openLogin } from './login.ts';
import type { Caller } from './principal.ts';
import { authRoutes } from './routes.ts';

export { type AuthSettings, logOut, openLogin, register } from './login.ts';
export * from './principal.ts';
export { tenantId } from './schemas.ts';
export { makeResetFor } from './users.ts';
export * from './visibility.ts';

export interface Auth {
  /** Who is behind a request; throws `unauthenticated`. */
  identify(req: IncomingMessage): Promise<Caller>;
  /** What is known of a tenant's credentials is asked for again. */
  forget(tenant_id: string): void;
  routes: Route<Caller>[];
}

export function openAuth(settings: AuthSettings, tenants: Tenants): Auth {
  const login = openLogin(settings, tenants);
  const { identify, forget } = login.credentials;
  return { identify, forget, routes: authRoutes(login) as Route<Caller>[] };
}
