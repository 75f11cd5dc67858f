import { randomBytes } from 'node:crypto';
import { assertConforms } from './contract.ts';

/** A response with its decoded body. */
export interface Answer<T = unknown> {
  status: number;
  headers: Headers;
  body: T;
}

export interface RequestOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

/** A user of a daemon. */
export interface Client {
  url: string;
  tenant_id: string;
  username: string;
  token: string;
  refresh_token: string;
  user_id: string;
  request<T = Record<string, any>>(method: string, path: string, options?: RequestOptions): Promise<Answer<T>>;
}

export const PASSWORD = 'correct horse 9 battery';
export const newName = (prefix: string) => `${prefix}-${randomBytes(5).toString('hex')}`;

/** Sends a request and checks the response against the OpenAPI document. A body that is neither a string nor a Buffer is sent as JSON. */
export async function send<T>(
  url: string,
  method: string,
  path: string,
  { body, headers = {} }: RequestOptions = {},
  token?: string,
): Promise<Answer<T>> {
  const raw = typeof body === 'string' || Buffer.isBuffer(body);
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: body === undefined ? undefined : raw ? (body as string) : JSON.stringify(body),
  });
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
  const answer = { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T };
  assertConforms(method, path, answer.status, answer.headers, answer.body);
  return answer;
}

function clientOf(url: string, tenant_id: string, username: string, answer: Answer<any>): Client {
  if (answer.status !== 201 && answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  const { access_token: token, refresh_token, user } = answer.body;
  const request: Client['request'] = (method, path, options) => send(url, method, path, options, token);
  return {
    url,
    tenant_id,
    username,
    token,
    refresh_token,
    user_id: user.user_id,
    request,
  };
}

/** Creates a tenant and returns its owner. */
export async function newTenant(url: string, tenant_id = newName('t'), username = 'alice'): Promise<Client> {
  return clientOf(
    url,
    tenant_id,
    username,
    await send(url, 'POST', '/auth/register', { body: { username, password: PASSWORD, tenant_id } }),
  );
}

/** Registers another user of the owner's tenant by an invite. */
export async function newColleague(owner: Client, username = 'bob', role = 'member'): Promise<Client> {
  const invite = await owner.request('POST', '/auth/invites', { body: { role } });
  if (invite.status !== 201) throw new Error(`${invite.status} ${JSON.stringify(invite.body)}`);
  const { url, tenant_id } = owner;
  return clientOf(
    url,
    tenant_id,
    username,
    await send(url, 'POST', '/auth/register', { body: { username, password: PASSWORD, tenant_id, invite: invite.body.invite } }),
  );
}

/** Returns a message event as clients record it. */
export const message = (text: string, more: Record<string, unknown> = {}) => ({
  session_id: 's1',
  channel: 'private',
  actor: { type: 'human', id: 'alice' },
  kind: 'message',
  content: { text },
  ...more,
});
