import { z } from 'zod';
import { nameOf, onAnyObject } from '../http/name.ts';
import { pageOf } from '../http/page.ts';
import { time as requestTime } from '../http/time.ts';
import { passwordFault } from './passwords.ts';
import { channels } from './visibility.ts';

const INVITE_DEFAULT_S = 3 * 86_400;
const INVITE_LONGEST_S = 7 * 86_400;

export const tenantId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'must be 1 to 63 letters, digits, _ or -, and begin with a letter or digit');
const username = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'must be 1 to 64 letters, digits, ., _, @ or -, and begin with a letter or digit');
// longer than any valid password, so that passwordFault reports all violations
const password = z.string().min(1).max(1024);
const secret = z.string().min(1).max(4096);
const role = z.enum(['owner', 'admin', 'member', 'reader']);
const scope = z.enum(['read', 'write', 'admin']);
const time = z.iso.datetime();

/** Checks the password of a body that failed other checks too, so that all errors are reported at once. */
function faultOf(body: unknown): string | undefined {
  const fields = body as { username?: unknown; password?: unknown };
  return typeof fields.password === 'string' ? passwordFault(fields.password, String(fields.username)) : undefined;
}

export const registerBody = z
  .strictObject({
    username,
    password,
    tenant_id: tenantId,
    email: z.email().max(254).optional(),
    invite: secret.optional(),
  })
  .refine((body) => faultOf(body) === undefined, { path: ['password'], when: onAnyObject, error: ({ input }) => faultOf(input) });
// any text: an impossible name gets the same response as an unknown one
export const loginBody = z.strictObject({
  username: z.string().min(1).max(255),
  password,
  tenant_id: z.string().min(1).max(255),
});
export const refreshBody = z.strictObject({ refresh_token: secret });
export const passwordBody = z.strictObject({ current_password: password, new_password: password });
export const resetBody = z.strictObject({ token: secret, new_password: password });

export const tokenPair = z.object({
  access_token: z.string().describe('Authenticates requests, as `Authorization: Bearer …`.'),
  refresh_token: z.string().describe('`POST /auth/refresh` exchanges it for a new pair of tokens, once.'),
  token_type: z.literal('Bearer'),
  expires_in: z.int().meta({ description: 'Lifetime of the access token in seconds.' }),
  user: z.object({ user_id: z.string(), tenant_id: z.string(), username: z.string(), role }),
});

const rateLimit = z.strictObject({
  max: z.int().min(1).max(100_000_000).describe('Number of requests in a window.'),
  window_ms: z.int().min(1000).max(86_400_000).describe('Length of a window in milliseconds.'),
});

export const me = z.object({
  tenant_id: z.string(),
  kind: z.enum(['user', 'key']).describe('Type of the credential: an access token of a user, or an API key.'),
  id: z.string().describe('The `user_id` of the user, or the `key_id` of the key.'),
  user_id: z.string().meta({ description: 'The user who logged in or who created the key.' }),
  session_id: z.string().optional().describe('The login session of the access token.'),
  username: z.string().optional(),
  role,
  scopes: z.array(scope).describe('Permissions of the credential.'),
  subject: z.string().meta({ description: 'Default of `user_id` in events.' }),
  subjects: z
    .array(z.string())
    .nullable()
    .meta({ description: 'Users whose private items the credential can read, or null for all users.' }),
  channels: z.array(z.enum(channels)).nullable().meta({ description: 'Channels that the credential can use, or null for all.' }),
  agent_id: z.string().optional().describe('The only agent that the credential can act as.'),
  actor: z.object({ type: z.enum(['human', 'agent']), id: z.string() }).describe('Default of `actor` in events and memories.'),
  rate_limit: rateLimit
    .nullable()
    .describe(
      'Limit for requests under `/v1`, or null for no limit. A key without its own limit shares the limit of its creator.',
    ),
  expires_at: time.nullable(),
});

const session = z.object({
  session_id: z.string(),
  user_agent: z.string().nullable(),
  address: z.string().nullable().describe('Network address of the client at login.'),
  created_at: time,
  used_at: time.describe('Time of the last use, up to five minutes late.'),
  expires_at: time,
  current: z.boolean().describe('True for the session of this request.'),
});
export const sessionPage = pageOf(session);
export const sessionQuery = z.strictObject({ id: nameOf(64).optional() });
export const sessionParams = z.strictObject({ session_id: nameOf(64) });

export const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(1000).optional(),
});

export const user = z.object({
  user_id: z.string(),
  username: z.string(),
  email: z.string().nullable(),
  role,
  subject: z.string().describe('Name of the user in `user_id` of events and memories.'),
  disabled: z.boolean().describe('A disabled user cannot log in, and the keys of the user do not work.'),
  created_at: time,
});
export type User = z.output<typeof user>;
export const userPage = pageOf(user);
export const userParams = z.strictObject({ user_id: nameOf(64) });
export const userPatch = z
  .strictObject({ role: role.optional(), disabled: z.boolean().optional() })
  .refine((patch) => patch.role !== undefined || patch.disabled !== undefined, 'must contain role or disabled');
export const reset = z.object({
  reset_id: z.string(),
  token: z.string().describe('The secret with which the user sets a new password. Shown only in this response.'),
  user_id: z.string(),
  expires_at: time,
});

export const inviteBody = z.strictObject({
  role,
  expires_in: z.int().min(60).max(INVITE_LONGEST_S).default(INVITE_DEFAULT_S).meta({ description: 'Lifetime in seconds.' }),
  username: username.optional().meta({ description: 'The only username that can register with this invite.' }),
});
const invite = z.object({
  invite_id: z.string(),
  role,
  username: z.string().nullable().describe('The only username that can register with this invite, or null for any.'),
  created_by: z.string().describe('The `user_id` of the user who created the invite.'),
  created_at: time,
  expires_at: time,
  used_at: time.nullable().describe('Time of the registration, or null if the invite is unused.'),
  used_by: z.string().nullable().describe('The `user_id` of the user who registered.'),
});
export type Invite = z.output<typeof invite>;
export const invitePage = pageOf(invite);
export const newInvite = invite.extend({ invite: z.string().meta({ description: 'The secret. Shown only in this response.' }) });
export const inviteParams = z.strictObject({ invite_id: nameOf(64) });

const keyFields = {
  name: 'The label of the key in lists.',
  role: 'The role of the key, at most the role of its creator.',
  scopes: 'The permissions of the key, at most those of its creator.',
};
export const keyBody = z.strictObject({
  name: nameOf(200).describe(keyFields.name),
  role: role.describe(keyFields.role),
  scopes: z
    .array(scope)
    .min(1)
    .max(3)
    .transform((scopes) => [...new Set(scopes)])
    .describe(keyFields.scopes),
  user_id: nameOf().optional().meta({
    description: 'The user on whose behalf the key acts, or `*` for all users. The default is the subject of the creator.',
  }),
  channels: z
    .array(z.enum(channels))
    .min(1)
    .max(4)
    .transform((list) => [...new Set(list)])
    .optional()
    .describe('The channels in which the key can make requests. The default is all channels.'),
  expires_at: requestTime.optional(),
  agent_id: nameOf().optional().describe('The only agent that the key can act as.'),
  rate_limit: rateLimit
    .optional()
    .describe(
      'Separate rate limit of the key, at most the limit of the tenant. Only admins can set it. By default, the key shares the limit of its creator.',
    ),
  signed: z
    .boolean()
    .default(false)
    .describe('Whether the key signs its requests instead of sending its secret. Requires `ENCRYPTION_KEY`.'),
});
export type KeyBody = z.output<typeof keyBody>;
const apiKey = z.object({
  key_id: z.string(),
  name: z.string().describe(keyFields.name),
  role: role.describe(keyFields.role),
  scopes: z.array(scope).describe(keyFields.scopes),
  user_id: z.string().describe('The user on whose behalf the key acts, or `*` for all users.'),
  channels: z
    .array(z.enum(channels))
    .nullable()
    .describe('The channels in which the key can make requests, or null for all channels.'),
  created_by: z.string().describe('The `user_id` of the user who created the key, directly or with another key.'),
  created_with: z
    .string()
    .nullable()
    .describe('The `key_id` of the key that created this key, or null if it was created with a login.'),
  created_at: time,
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  used_at: time.nullable().describe('Time of the last use, up to five minutes late, or null if the key was never used.'),
  agent_id: z.string().nullable().describe('The only agent that the key can act as, or null for any.'),
  rate_limit: rateLimit.nullable().describe('Separate rate limit of the key, or null if it shares the limit of its creator.'),
  signed: z.boolean().describe('Whether the key signs its requests.'),
});
export type ApiKey = z.output<typeof apiKey>;
export const keyPage = pageOf(apiKey);
export const newKey = apiKey.extend({ api_key: z.string().meta({ description: 'The secret. Shown only in this response.' }) });
export const keyParams = z.strictObject({ key_id: nameOf(64) });
