import { agentOf, type Caller, isAdmin, type Principal } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import { scopesFor } from './credential.ts';
import type { CapabilityKey } from './keys.ts';
import type { CapabilityBody } from './schemas.ts';
import { insertCapability } from './sql.ts';
import { type Claims, MAX_TOKEN_LENGTH, signClaims } from './token.ts';

/** Throws unless the principal may mint such a capability. Returns the agent that it is limited to. */
function assertMintable(principal: Principal, { ops, agent }: CapabilityBody, exp: number): string | undefined {
  if (principal.role === 'reader') throw excess('readers mint nothing');
  const scope = scopesFor(ops).find((each) => !principal.scopes.includes(each));
  if (scope !== undefined) throw excess(`the minter does not have the scope "${scope}"`);
  if (ops.includes('ADMIN') && !isAdmin(principal)) throw excess('only admins can permit ADMIN');
  const { kind, expires_at } = principal;
  if (kind === 'key' && expires_at !== null && exp * 1000 > Date.parse(expires_at)) throw excess('the key expires earlier');
  return agentOf(principal, agent);
}

const excess = (why: string) => new Problem('forbidden', `A capability cannot have more permissions than its minter: ${why}.`);

/** Mints a capability for the caller, or returns the problem as an exception: `forbidden` if the caller does not have these permissions. */
export async function mint(
  { tenant, principal }: Pick<Caller, 'tenant' | 'principal'>,
  body: CapabilityBody,
  key: CapabilityKey,
  idempotency: Idempotency | null = null,
) {
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + body.expires_in;
  const agent = assertMintable(principal, body, exp);
  const created_with = principal.kind === 'key' ? principal.id : null;
  const claims = claimsOf(tenant, created_with ?? principal.user_id, { ...body, agent }, { iat, exp });
  const { text, digest } = signClaims(claims, key);
  if (text.length > MAX_TOKEN_LENGTH) throw tooLong();
  const { jti, ops, regions, max_bytes, max_qps } = claims;
  const ns = [claims.ns].flat();
  const made = { jti, kid: key.kid, digest, ns, ops, regions, max_bytes, max_qps, agent, exp };
  const expires_at = await tenant.write(async (db) => {
    if (idempotency && (await recallKey(db, tenant.id, idempotency))) throw shownOnce();
    const stored = await insertCapability(db, tenant.id, { ...made, created_by: principal.user_id, created_with });
    if (stored === undefined)
      throw new Problem('conflict', 'The tenant or the user has too many capabilities. Revoke some first.');
    if (idempotency) await rememberKey(db, tenant.id, idempotency);
    return stored;
  });
  return { capability: text, jti, expires_at };
}

function claimsOf(
  tenant: Pick<Tenant, 'id'>,
  sub: string,
  { ns, ops, regions, max_bytes, max_qps, agent }: CapabilityBody,
  times: Pick<Claims, 'iat' | 'exp'>,
): Claims {
  return {
    ten: tenant.id,
    jti: newId('jti'),
    sub,
    ns,
    ops: [...new Set(ops)],
    ...times,
    ...(regions && { regions }),
    ...(max_bytes !== undefined && { max_bytes }),
    ...(max_qps !== undefined && { max_qps }),
    ...(agent !== undefined && { agent }),
  };
}

const tooLong = () => {
  const detail = `must be shorter: the capability would have more than ${MAX_TOKEN_LENGTH} characters`;
  return new Problem('validation', `ns ${detail}.`, { errors: [{ pointer: '#/ns', detail }] });
};

const shownOnce = () =>
  new Problem('conflict', 'This Idempotency-Key was already used. The response contained a secret, which is shown only once.');
