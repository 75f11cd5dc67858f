import { followersOf, operations, type Suite, secondsOf, TURN_SECONDS, tenantsOf, usersOf } from './suites.ts';

// Checks whether the service's rate limits allow the requests of a suite. Pure.

interface Policy {
  name: string;
  max: number;
  windowSeconds: number;
}

const settings: Record<string, string> = {
  address: 'RATE_LIMIT_AUTH_MAX',
  principal: 'RATE_LIMIT_MAX_REQUESTS',
  tenant: 'RATE_LIMIT_TENANT_MAX',
};

/** `"principal";q=100;w=60, "tenant";q=1000;w=60` */
const readPolicies = (header: string): Policy[] =>
  [...header.matchAll(/"([^"]+)";q=(\d+);w=(\d+)/g)].map(([, name, max, seconds]) => ({
    name: name!,
    max: Number(max),
    windowSeconds: Number(seconds),
  }));

/** Returns the maximum number of requests of the suite that a limit counts in one of its windows. */
function neededOf(suite: Suite, { name, windowSeconds }: Policy): number {
  // Each user except the first of a tenant needs an invite and a registration. The deletion of the tenants is counted elsewhere.
  if (name === 'address') return usersOf(suite) * 2 - tenantsOf(suite);
  const seconds = Math.min(windowSeconds, secondsOf(suite));
  // each phase begins with an extra turn
  const ofUser = (Math.floor(seconds / TURN_SECONDS) + suite.phases.length) * operations.length;
  if (name === 'principal') return ofUser + Math.ceil(seconds / STREAM_SECONDS);
  const users = Math.ceil(usersOf(suite) / tenantsOf(suite));
  return ofUser * users + followersOf(suite) * Math.ceil(seconds / STREAM_SECONDS);
}

/** Time that a follower keeps its stream open. */
export const STREAM_SECONDS = 10;

/** Returns the message that aborts the test if the suite would exceed a limit, so that the limit would be measured. */
export function whatToRaise(suite: Suite, header: string): string | undefined {
  const low = readPolicies(header)
    .map((policy) => ({ ...policy, needed: neededOf(suite, policy) }))
    .filter(({ max, needed }) => needed > max);
  if (low.length === 0) return undefined;
  const said = low.map(
    ({ name, max, windowSeconds, needed }) =>
      `"${name}" allows ${max} requests in ${windowSeconds} s and this test makes up to ${needed}`,
  );
  const raise = low.map(({ name, needed }) => `${settings[name] ?? `the limit "${name}"`}=${needed}`);
  return `The figures would be those of the rate limit: ${said.join('; ')}. Start the daemon with ${raise.join(' ')} or more, or with RATE_LIMIT_ENABLED=false.`;
}
