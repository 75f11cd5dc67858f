import { check } from 'k6';
import http, { type RefinedResponse } from 'k6/http';
import { Counter } from 'k6/metrics';
import type { Operation } from './suites.ts';

// Sends requests as clients of the service do, and measures them by operation.

export type Response = RefinedResponse<'text'>;

export const baseUrl = (__ENV.BASE_URL || 'http://localhost:3000').replace(/\/+$/, '');

/** A 429 is not a failure of the service: it is counted separately and has its own threshold. */
const rateLimited = new Counter('rate_limited');
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 429));

/** State of one VU. The report counts all errors; the log shows only the first of each VU. */
const MAX_TOLD = 3;
let told = 0;

export const headersOf = (token?: string, more: Record<string, string> = {}) => ({
  'Content-Type': 'application/json',
  ...(token && { Authorization: `Bearer ${token}` }),
  ...more,
});

interface Asked {
  token: string;
  slot: number;
  body?: unknown;
  key?: string;
}

/** Sends a request of a turn. */
export function request(operation: Operation, method: 'GET' | 'POST', path: string, { token, slot, body, key }: Asked): Response {
  const response = http.request(method, baseUrl + path, body === undefined ? null : JSON.stringify(body), {
    headers: headersOf(token, key ? { 'Idempotency-Key': key } : {}),
    // A fixed name: the URL contains a seq, and each URL would become a separate series.
    tags: { operation, name: operation, kind: 'turn', slot: String(slot) },
    timeout: '30s',
    responseType: 'text',
  });
  if (response.status === 429) rateLimited.add(1, { operation });
  return response;
}

/** Whether the response is correct for this request. A rate-limited response does not count as incorrect. */
export function expectAnswer<Body>(operation: Operation, response: Response, holds: (body: Body) => boolean): boolean {
  if (response.status === 429) return false;
  const right = response.status >= 200 && response.status < 300 && holdsIn(response, holds);
  check(right, { [`${operation} is answered right`]: (it) => it });
  if (!right && told++ < MAX_TOLD)
    console.warn(`${operation}: ${response.status} ${response.error || String(response.body).slice(0, 300)}`);
  return right;
}

function holdsIn<Body>(response: Response, holds: (body: Body) => boolean): boolean {
  try {
    return holds(JSON.parse(response.body) as Body);
  } catch {
    // not JSON, or not of the expected shape
    return false;
  }
}
