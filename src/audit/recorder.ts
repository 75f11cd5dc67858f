import { setTimeout as sleep } from 'node:timers/promises';
import { type Behalf, type Caller, claimedIdentityOf, mayReadAll, networkOf, type Principal } from '../auth/index.ts';
import type { Tenants } from '../db/tenant.ts';
import type { AuditContext, AuditRecorder } from '../http/audit.ts';
import { Problem } from '../http/problem.ts';
import type { Logger } from '../log.ts';
import type { Appender } from './append.ts';
import type { EntryInput, Payload } from './chain.ts';
import { createRefusalCounts, withoutDeleted } from './refusals.ts';
import { deletedIds, existingTenants } from './sql.ts';

/** An operation waits at most this long for its audit entry. The entry is retried beyond that. */
const WAIT_MS = 4000;

export interface Recorder extends AuditRecorder<Caller> {
  /** Hands the counted refusals to the appender. `written` resolves when they are written. */
  flush(): Promise<{ written: Promise<unknown> }>;
}

export function createRecorder(appender: Appender, tenants: Tenants, log: Logger): Recorder {
  const refusalCounts = createRefusalCounts();

  async function flush() {
    const checked = refusalCounts.unverifiedTenants();
    const existing = checked.length > 0 ? await existingTenants(tenants(''), checked) : new Set<string>();
    const deleted = new Map<string, Set<string>>();
    for (const [tenant, ids] of refusalCounts.principalIds())
      if (!checked.includes(tenant) || existing.has(tenant)) deleted.set(tenant, await deletedIds(tenants(tenant), ids));
    const drained = refusalCounts.drain(new Set(checked), existing);
    const written = drained.flatMap(([tenant, inputs]) =>
      inputs.map((input) => append(tenant, withoutDeleted(input, deleted.get(tenant)))),
    );
    return { written: Promise.all(written) };
  }

  const append = (tenant: string, input: EntryInput) =>
    appender.append(tenant, input).catch((err) => log.error({ err, tenant_id: tenant, audit: input }, 'an audit entry was lost'));

  return {
    flush,
    assertWritable(act) {
      const tenant = tenantOf(act);
      if (tenant !== undefined && appender.isFailing(tenant))
        throw unavailable('Audit entries cannot be written at the moment, so the operation was not performed.');
    },
    async record(act, action, status, facts) {
      const tenant = tenantOf(act);
      // the handler of a route without authentication returns the facts; without facts, nothing was done
      if (tenant === undefined || (act.caller === null && facts === undefined)) return;
      const input = inputOf(act, action, status, facts ?? {});
      const written = appender.append(tenant, input);
      const late = new AbortController();
      const outcome = await Promise.race([
        written.then(() => 'written' as const),
        sleep(WAIT_MS, 'late' as const, { signal: late.signal, ref: false }).catch(() => 'late' as const),
      ]).catch((err: unknown) => {
        log.error({ err, tenant_id: tenant, audit: input }, 'an audit entry was lost');
        return 'lost' as const;
      });
      late.abort();
      if (outcome === 'written') return;
      if (outcome === 'late')
        written.catch((err) => log.error({ err, tenant_id: tenant, audit: input }, 'an audit entry was lost'));
      throw unavailable('The operation was performed, but its audit entry has not been written yet.');
    },
    readAction({ caller, query, body }) {
      const ofAll = [query, body].some((fields) => {
        const { all_users, user_id } = (fields ?? {}) as Behalf;
        return all_users === true && user_id === undefined;
      });
      return ofAll && caller && mayReadAll(caller.principal) ? 'private.read' : undefined;
    },
    countRefusal({ route, req, address, caller, request_id, body }, status, code) {
      const claim = caller ? undefined : claimedIdentityOf(req);
      const tenant = caller?.principal.tenant_id ?? claim?.tenant_id ?? tenantNamedIn(route, body);
      if (tenant === undefined) return;
      const principal = caller
        ? { id: caller.principal.id, kind: caller.principal.kind, user_id: caller.principal.user_id }
        : null;
      const where = { address: networkOf(address), route: `${route.method} ${route.path}` };
      refusalCounts.add({
        tenant,
        principal,
        ...where,
        status,
        code,
        request_id,
        claimed: claim?.id,
        at: new Date().toISOString(),
      });
    },
  };
}

const unavailable = (detail: string) => new Problem('unavailable', detail, { headers: { 'Retry-After': '5' } });

const tenantOf = ({ caller, route, body }: AuditContext<Caller>) => caller?.principal.tenant_id ?? tenantNamedIn(route, body);

const tenantNamedIn = ({ tenantOf: read }: AuditContext<Caller>['route'], body: unknown): string | undefined =>
  body === undefined ? undefined : read?.(body as never);

function inputOf(act: AuditContext<Caller>, action: string, status: number, facts: Payload): EntryInput {
  const { route, caller, address, request_id, params } = act;
  const ids = { ...(params as Payload | undefined), ...facts };
  // without other ids, the operation was on the tenant itself
  const about = Object.keys(ids).length > 0 ? ids : { tenant_id: tenantOf(act) };
  return {
    action,
    route: `${route.method} ${route.path}`,
    status,
    count: 1,
    payload: { ...identityOf(caller?.principal, facts), address, request_id, about },
  };
}

function identityOf(principal: Principal | undefined, { user_id }: Payload): Payload {
  if (!principal) return { principal_id: user_id ?? null, principal_kind: 'user', user_id: user_id ?? null };
  const { id, kind, user_id: own, username, session_id } = principal;
  return {
    principal_id: id,
    principal_kind: kind,
    user_id: own,
    ...(username && { username }),
    ...(session_id && { session_id }),
  };
}
