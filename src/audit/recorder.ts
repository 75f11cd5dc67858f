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

/** An act waits no longer than this for its entry; the entry is tried on. */
const WAIT_MS = 4000;

export interface Recorder extends AuditRecorder<Caller> {
  /** Hands on what has been counted, to be written. */
  flush(): Promise<{ written: Promise<unknown> }>;
}

export function createRecorder(appender: Appender, tenants: Tenants, log: Logger): Recorder {
  const refusalCounts = createRefusalCounts();

  async function flush() {
    const asked = refusalCounts.unverifiedTenants();
    const exists = asked.length > 0 ? await existingTenants(tenants(''), asked) : new Set<string>();
    const gone = new Map<string, Set<string>>();
    for (const [tenant, ids] of refusalCounts.named())
      if (!asked.includes(tenant) || exists.has(tenant)) gone.set(tenant, await deletedIds(tenants(tenant), ids));
    const taken = refusalCounts.take(new Set(asked), exists);
    const written = taken.flatMap(([tenant, inputs]) =>
      inputs.map((input) => append(tenant, withoutDeleted(input, gone.get(tenant)))),
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
        throw closed('The audit cannot be written at the moment, so nothing was done.');
    },
    async record(act, action, status, facts) {
      const tenant = tenantOf(act);
      // an open route says whose it was; where it says nothing, nothing was done
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
      throw closed('It was done, but could not be put on the audit record yet.');
    },
    readAction({ caller, query, body }) {
      const ofAll = [query, body].some((asked) => {
        const { all_users, user_id } = (asked ?? {}) as Behalf;
        return all_users === true && user_id === undefined;
      });
      return ofAll && caller && mayReadAll(caller.principal) ? 'private.read' : undefined;
    },
    countRefusal({ route, req, address, caller, request_id, body }, status) {
      const claim = caller ? undefined : claimedIdentityOf(req);
      const tenant = caller?.principal.tenant_id ?? claim?.tenant_id ?? namedIn(route, body);
      if (tenant === undefined) return;
      const principal = caller
        ? { id: caller.principal.id, kind: caller.principal.kind, user_id: caller.principal.user_id }
        : null;
      const where = { address: networkOf(address), route: `${route.method} ${route.path}` };
      refusalCounts.add({ tenant, principal, ...where, status, request_id, claimed: claim?.id, at: new Date().toISOString() });
    },
  };
}

const closed = (detail: string) => new Problem('unavailable', detail, { headers: { 'Retry-After': '5' } });

const tenantOf = ({ caller, route, body }: AuditContext<Caller>) => caller?.principal.tenant_id ?? namedIn(route, body);

const namedIn = ({ tenantOf: read }: AuditContext<Caller>['route'], body: unknown): string | undefined =>
  body === undefined ? undefined : read?.(body as never);

function inputOf(act: AuditContext<Caller>, action: string, status: number, facts: Payload): EntryInput {
  const { route, caller, address, request_id, params } = act;
  const about = { ...(params as Payload | undefined), ...facts };
  // what names nothing else was done to the tenant
  const told = Object.keys(about).length > 0 ? about : { tenant_id: tenantOf(act) };
  return {
    action,
    route: `${route.method} ${route.path}`,
    status,
    count: 1,
    payload: { ...whose(caller?.principal, facts), address, request_id, about: told },
  };
}

function whose(principal: Principal | undefined, { user_id }: Payload): Payload {
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
