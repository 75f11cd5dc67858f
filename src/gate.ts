import { authorize, type Caller } from './auth/index.ts';
import { type Config, readersOf } from './config.ts';
import type { Parts } from './feature.ts';
import type { Gate } from './http/gate.ts';
import { macOf } from './keys.ts';
import type { Limits } from './limits/index.ts';
import { containsSecret, defaultScreener, screenFields } from './secrets/index.ts';
import type { OnSkipped } from './skipped.ts';
import { parseInWorkerWith, readerOf } from './workers.ts';

/** Creates the checks that every request passes. `onSkipped` is called for each row that a worker could not read. */
export function gateOf(
  config: Config,
  { registry, bounds, bytesInFlight, auth, metrics, secrets, workers, audit, log }: Parts,
  inFlight: Gate<Caller>['inFlight'],
  limits: Limits,
  addressOf: Gate<Caller>['addressOf'],
  onSkipped: OnSkipped,
): Gate<Caller> {
  return {
    body: bounds.json,
    timeoutMs: config.REQUEST_TIMEOUT_MS,
    bytesInFlight,
    inFlight,
    identify: auth.identify,
    capabilityOf: ({ capability }) => capability,
    authorize,
    admit: limits.admit,
    admitBytes: limits.admitBytes,
    claimNonce: ({ signed }) => signed?.claim(),
    idsOf: ({ principal, signed }) => ({ principal: principal.id, tenant: principal.tenant_id, digest: signed?.digest }),
    fence: async (caller, fence, key) => {
      const tenant = caller.tenant.guarded({ leases: fence }, key);
      await tenant.check();
      return { ...caller, tenant };
    },
    addressOf,
    observeRequest: metrics.observeRequest,
    countProblem: metrics.countProblem,
    conflicts: registry.conflicts,
    holdsSecret: containsSecret,
    screen: async (caller, body, pointers) =>
      screenFields(caller ? await secrets.of(caller.tenant) : defaultScreener, body, pointers),
    parseInWorker: parseInWorkerWith(workers, secrets, bounds.json),
    ...(readersOf(config) > 0 && { readInWorker: readerOf(workers, onSkipped) }),
    mac: macOf(config),
    audit: audit.recorder,
    log,
  };
}
