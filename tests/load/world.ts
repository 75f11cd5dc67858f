import exec from 'k6/execution';
import http from 'k6/http';
import { baseUrl, headersOf } from './api.ts';
import { whatToRaise } from './limits.ts';
import { type Suite, secondsOf, tenantsOf, usersOf } from './suites.ts';

// Tenants and users of the test, created before it and deleted afterwards.

export interface Agent {
  name: string;
  token: string;
}

export interface World {
  agents: Agent[];
  owners: { tenant_id: string; token: string }[];
  /** Start and duration of the measured part. */
  started_at: number;
  run_ms: number;
}

const PASSWORD = 'only for a load test, 9 batteries';

/** Aborts the test with a message that contains the remedy. */
const stop = (sentence: string): never => exec.test.abort(sentence) as never;

interface Made {
  access_token: string;
  expires_in: number;
  invite: string;
}

function post(path: string, body: unknown, token?: string): { made: Made; policies: string } {
  const response = http.post(baseUrl + path, JSON.stringify(body), {
    headers: headersOf(token),
    tags: { name: 'setup' },
    timeout: '60s',
  });
  if (response.status === 0)
    stop(
      `${baseUrl} cannot be reached: ${response.error}. Set BASE_URL${/x509/.test(response.error) ? ', or K6_INSECURE=true for a certificate of your own' : ''}.`,
    );
  if (response.status === 429)
    stop(
      `The limit on ${path} is spent (${response.body}). Wait for its window, raise RATE_LIMIT_AUTH_MAX, or set RATE_LIMIT_ENABLED=false.`,
    );
  if (response.status === 403 && path === '/auth/register')
    stop('The service does not let tenants be made over HTTP: start it with REGISTRATION=open for the test.');
  if (response.status !== 201) stop(`${path} answered ${response.status}: ${response.body}`);
  return { made: response.json() as unknown as Made, policies: response.headers['Ratelimit-Policy'] ?? '' };
}

/** Creates them. Aborts if the suite would exceed a rate limit, or tokens would expire before the end. */
export function makeWorld(suite: Suite): World {
  const run = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`;
  const seconds = secondsOf(suite);
  const refuse = (policies: string) => {
    const sentence = whatToRaise(suite, policies);
    if (sentence) stop(sentence);
  };
  const owners = Array.from({ length: tenantsOf(suite) }, (_, i) => {
    const tenant_id = `load-${run}-${i}`;
    const { made, policies } = post('/auth/register', { tenant_id, username: 'agent-0', password: PASSWORD });
    const token = made.access_token;
    if (i === 0) {
      refuse(policies);
      refuse(http.get(`${baseUrl}/v1/tenant`, { headers: headersOf(token) }).headers['Ratelimit-Policy'] ?? '');
      if (made.expires_in < seconds + 60)
        stop(
          `Tokens live ${made.expires_in} s and the test takes ${seconds} s: start the daemon with JWT_EXPIRES_IN=${seconds + 60}s or more.`,
        );
    }
    return { tenant_id, token };
  });
  const agents = Array.from({ length: usersOf(suite) }, (_, i) => {
    const { tenant_id, token } = owners[i % owners.length]!;
    if (i < owners.length) return { name: `agent-${i}`, token };
    const { invite } = post('/auth/invites', { role: 'member' }, token).made;
    const { made } = post('/auth/register', { tenant_id, username: `agent-${i}`, password: PASSWORD, invite });
    return { name: `agent-${i}`, token: made.access_token };
  });
  return { agents, owners, started_at: Date.now(), run_ms: seconds * 1000 };
}

/** Deletes everything that the test has created. */
export function deleteWorld({ owners }: World): void {
  for (const { tenant_id, token } of owners) {
    const response = http.del(`${baseUrl}/v1/tenant`, JSON.stringify({ confirm: tenant_id }), {
      headers: headersOf(token),
      tags: { name: 'teardown' },
    });
    if (response.status !== 202) console.warn(`${tenant_id} could not be deleted: ${response.status} ${response.body}`);
  }
}
