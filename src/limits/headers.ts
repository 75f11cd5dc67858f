import type { ServerResponse } from 'node:http';
import { Problem } from '../http/problem.ts';
import type { Policy } from './counter.ts';

// RateLimit and RateLimit-Policy headers (draft-ietf-httpapi-ratelimit-headers-08), on every response to a counted request.

/** The state of a limit for a client. */
export interface LimitStatus {
  policy: Policy;
  remaining: number;
  seconds: number;
}

export const policyHeader = (policies: readonly Policy[]): string =>
  policies.map(({ name, max, windowMs }) => `"${name}";q=${max};w=${Math.ceil(windowMs / 1000)}`).join(', ');

export const limitHeader = ({ policy, remaining, seconds }: LimitStatus): string =>
  `"${policy.name}";r=${remaining};t=${seconds}`;

export function setHeaders(res: ServerResponse, policies: string, status: string): void {
  res.setHeader('RateLimit-Policy', policies);
  res.setHeader('RateLimit', status);
}

export function limitExceeded({ policy, seconds }: LimitStatus): Problem {
  const per = `${policy.max} requests in ${policy.windowMs / 1000} s`;
  const source = policy.setting ?? 'rate_limit of the API key';
  return new Problem('rate-limited', `The limit "${policy.name}" of ${per} (${source}) is reached; try again in ${seconds} s.`, {
    headers: { 'Retry-After': String(seconds) },
  });
}
