import { randomBytes } from 'node:crypto';

export const PASSWORD = 'Correct-horse-9-battery';

interface Answer {
  status: number;
  body: any;
  headers: Headers;
}

export interface Ask {
  body?: unknown;
  /** An access token. */
  token?: string;
  key?: string;
  headers?: Record<string, string>;
}

export type Call = (method: string, path: string, request?: Ask) => Promise<Answer>;

export const clientOf =
  (url: string): Call =>
  async (method, path, { body, token, key, headers } = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(key !== undefined && { 'x-api-key': key }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text), headers: response.headers };
  };

export const newTenantId = (): string => `t-${randomBytes(6).toString('hex')}`;

/** Registers a new tenant and returns its logged-in owner. */
export async function makeOwner(call: Call, tenant_id = newTenantId(), username = 'olga') {
  const { status, body } = await call('POST', '/auth/register', { body: { username, password: PASSWORD, tenant_id } });
  if (status !== 201) throw new Error(`not registered: ${status} ${JSON.stringify(body)}`);
  return { tenant_id, token: body.access_token as string, refresh_token: body.refresh_token as string, user: body.user };
}

/** Registers a user by invite and returns the logged-in user. */
export async function makeUser(call: Call, by: { tenant_id: string; token: string }, role: string, username: string) {
  const invite = await call('POST', '/auth/invites', { token: by.token, body: { role } });
  const { status, body } = await call('POST', '/auth/register', {
    body: { username, password: PASSWORD, tenant_id: by.tenant_id, invite: invite.body.invite },
  });
  if (status !== 201) throw new Error(`not registered: ${status} ${JSON.stringify(body)}`);
  return {
    tenant_id: by.tenant_id,
    token: body.access_token as string,
    refresh_token: body.refresh_token as string,
    user: body.user,
  };
}

/**
 * After the free attempts, each failure doubles a wait that starts with one second. However slow the machine, at most seven further attempts
 * get through within the two minutes of a test.
 */
export function expectThrottled(answers: { status: number }[], free: number, status = 401): void {
  const tried = answers.filter((answer) => answer.status === status).length;
  expect([tried >= free, tried <= free + 7]).toEqual([true, true]);
  expect(answers.filter((answer) => answer.status === 429)).toHaveLength(answers.length - tried);
}

/** Creates a key that signs its requests, and the owner of its new tenant. */
export async function makeSigned(call: Call) {
  const owner = await makeOwner(call);
  const { status, body } = await call('POST', '/auth/api-keys', {
    token: owner.token,
    body: { name: 'signer', role: 'admin', scopes: ['read', 'write', 'admin'], signed: true },
  });
  if (status !== 201 || body.signed !== true) throw new Error(`no signed key: ${status} ${JSON.stringify(body)}`);
  return { owner, key: body as { key_id: string; api_key: string } };
}
