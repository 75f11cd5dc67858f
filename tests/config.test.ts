import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../src/config.ts';
import { connectionOf } from '../src/db/pool.ts';

const strong = 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj';
const problemsOf = (env: Record<string, string>): string => {
  try {
    loadConfig(env);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

test('the settings of the guide’s .env.prod have the meaning that the guide describes', () => {
  const config = loadConfig({
    PGHOST: 'postgres',
    PGPORT: '5432',
    PGDATABASE: 'agent_memory',
    PGUSER: 'memory',
    POSTGRES_PASSWORD: 'pw',
    PGPOOL_MAX: '20',
    PGPOOL_MIN: '5',
    PGIDLE_TIMEOUT: '30000',
    PGCONNECTION_TIMEOUT: '2000',
    PGMAX_LIFETIME: '60000',
    PGSTATEMENT_TIMEOUT: '30000',
    PGQUERY_TIMEOUT: '30000',
    PORT: '3000',
    NODE_ENV: 'production',
    JWT_SECRET: strong,
    JWT_EXPIRES_IN: '24h',
    JWT_ISSUER: 'agent-memory-system',
    RATE_LIMIT_ENABLED: 'true',
    RATE_LIMIT_WINDOW_MS: '60000',
    RATE_LIMIT_MAX_REQUESTS: '100',
  });
  expect(config).toMatchObject({
    PORT: 3000,
    PGMAX_LIFETIME: 60_000,
    JWT_EXPIRES_IN: 86_400,
    RATE_LIMIT_ENABLED: true,
    RATE_LIMIT_MAX_REQUESTS: 100,
  });
  expect(connectionOf(config)).toEqual({
    host: 'postgres',
    port: 5432,
    user: 'memory',
    database: 'agent_memory',
    password: 'pw',
  });
});

test('the names of the context-manager guide set the settings here, unless these are set themselves', () => {
  const config = loadConfig({
    EMBEDDING__API_URL: 'https://api.chutes.ai/v1',
    CHUTES_API_TOKEN: 'of-the-shell',
    EMBEDDING__MODEL: 'intfloat/multilingual-e5-large',
    EMBEDDING__BATCH_SIZE: '16',
    EMBEDDING__TIMEOUT_SECS: '20',
    EMBEDDING__CACHE_TTL_SECS: '1800',
    EMBEDDING__CACHE_ENABLED: 'false',
    VECTOR_DB__VECTOR_SIZE: '1024',
    HIRAG__L1_SIZE: '50',
    HIRAG__L2_SIZE: '400',
    CONTEXT_L2_SIZE: '300',
    HIRAG__MAX_CONTEXT_TOKENS: '4000',
    HIRAG__RETRIEVAL_STRATEGY: 'Balanced',
  });
  expect(config).toMatchObject({
    EMBEDDINGS_API_KEY: 'of-the-shell',
    EMBEDDINGS_MODEL: 'intfloat/multilingual-e5-large',
    EMBEDDINGS_BATCH_SIZE: 16,
    EMBEDDINGS_TIMEOUT_MS: 20_000,
    EMBEDDINGS_CACHE_TTL: 1800,
    EMBEDDINGS_CACHE_SIZE: 0,
    EMBEDDINGS_DIMENSION: 1024,
    CONTEXT_L1_SIZE: 50,
    CONTEXT_L2_SIZE: 300,
    CONTEXT_MAX_TOKENS: 4000,
    CONTEXT_STRATEGY: 'balanced',
  });
  expect(config.EMBEDDINGS_URL).toMatch(/^https:\/\/api\.chutes\.ai\/v1/);
  expect(loadConfig({ EMBEDDING__API_TOKEN: 'later', CHUTES_API_TOKEN: 'earlier' }).EMBEDDINGS_API_KEY).toBe('later');
  expect(problemsOf({ HIRAG__L1_SIZE: 'many' })).toMatch(/CONTEXT_L1_SIZE: got "many"/);
});

test('the timeouts in .env.example increase: lock < statement < query < request', () => {
  const lines = readFileSync(join(import.meta.dirname, '../.env.example'), 'utf8').matchAll(/^(?:# )?([A-Z_]+)=(.*)$/gm);
  const values = new Map([...lines].map(([, name, value]) => [name, Number(value)]));
  const ladder = ['PGLOCK_TIMEOUT', 'PGSTATEMENT_TIMEOUT', 'PGQUERY_TIMEOUT', 'REQUEST_TIMEOUT_MS'].map((name) =>
    values.get(name),
  );
  expect(ladder).toEqual([2000, 5000, 6000, 10_000]);
});

test('the error for several invalid settings lists each with the value and the expectation, and contains no secret', () => {
  const message = problemsOf({
    PORT: 'eighty',
    PGPOOL_MAX: '0',
    JWT_EXPIRES_IN: 'soon',
    NODE_ENV: 'prod',
    JWT_SECRET: 'short-secret-value',
  });
  for (const name of ['PORT', 'PGPOOL_MAX', 'JWT_EXPIRES_IN', 'NODE_ENV'])
    expect(message).toMatch(new RegExp(`${name}: got .*, expected `));
  expect(message).not.toContain('short-secret-value');
});

test.each([
  ['no value', {}],
  ['a short value', { JWT_SECRET: 'x'.repeat(31) }],
  ['a placeholder', { JWT_SECRET: '<generate-with-openssl-rand-base64-32>' }],
  ['a well-known default', { JWT_SECRET: 'change-this-secret-in-production' }],
])('with %s as JWT_SECRET, production does not start', (_name, env) => {
  expect(problemsOf({ NODE_ENV: 'production', ...env } as Record<string, string>)).toContain('JWT_SECRET');
  expect(problemsOf({ NODE_ENV: 'production', JWT_SECRET: strong })).toBe('');
});

test('a _FILE that is a device counts as absent, because compose mounts /dev/null for a missing file', () => {
  expect(loadConfig({ JWT_SECRET_FILE: '/dev/null', JWT_SECRET: strong }).JWT_SECRET).toBe(strong);
  expect(loadConfig({ PGPASSWORD_FILE: '/dev/null' }).PGPASSWORD).toBeUndefined();
});

test('a secret is read from the file that its _FILE variable names; a missing file is reported by the variable', () => {
  const dir = mkdtempSync(join(tmpdir(), 'agent-memory-config-'));
  writeFileSync(join(dir, 'secret'), `${strong}\n`);
  expect(loadConfig({ JWT_SECRET_FILE: join(dir, 'secret') }).JWT_SECRET).toBe(strong);
  expect(problemsOf({ PGPASSWORD_FILE: join(dir, 'nothing') })).toMatch(/PGPASSWORD_FILE: got .*nothing.*ENOENT/);
  rmSync(dir, { recursive: true });
});

test('PGPASSWORD takes precedence over POSTGRES_PASSWORD; an empty variable counts as absent', () => {
  expect(connectionOf(loadConfig({ PGHOST: 'h', PGPASSWORD: 'a', POSTGRES_PASSWORD: 'b' })).password).toBe('a');
  expect(connectionOf(loadConfig({ PGHOST: 'h', PGPASSWORD: '', POSTGRES_PASSWORD: 'b' })).password).toBe('b');
});

test('the default rate limits are the guide’s in production and higher elsewhere; a setting overrides both', () => {
  const limitsOf = (env: Record<string, string>) => {
    const { RATE_LIMIT_MAX_REQUESTS, RATE_LIMIT_TENANT_MAX, RATE_LIMIT_AUTH_MAX } = loadConfig(env);
    return [RATE_LIMIT_MAX_REQUESTS, RATE_LIMIT_TENANT_MAX, RATE_LIMIT_AUTH_MAX];
  };
  expect(limitsOf({ NODE_ENV: 'production', JWT_SECRET: strong })).toEqual([100, 1000, 100]);
  expect(limitsOf({})).toEqual([6000, 60_000, 6000]);
  expect(limitsOf({ RATE_LIMIT_MAX_REQUESTS: '100' })).toEqual([100, 60_000, 6000]);
});

test('REGION and DEV_MODE of the agentstate guide are settings, and production does not start with DEV_MODE=true', () => {
  expect(loadConfig({ REGION: 'us-west-2', DEV_MODE: 'true' })).toMatchObject({ REGION: 'us-west-2', DEV_MODE: true });
  expect(loadConfig({})).toMatchObject({ DEV_MODE: false });
  expect(problemsOf({ REGION: 'us west' })).toMatch(/REGION: got "us west", expected at most 64 letters/);
  expect(problemsOf({ NODE_ENV: 'production', JWT_SECRET: strong, DEV_MODE: 'false' })).toBe('');
  expect(problemsOf({ NODE_ENV: 'production', JWT_SECRET: strong, DEV_MODE: 'true' })).toMatch(
    /DEV_MODE: got true, expected false in production/,
  );
});

test('DEV_MODE with COMPAT_TENANT requires a loopback address, no proxy and no origins of other machines', () => {
  const compat = { COMPAT_TENANT: 'demo', DEV_MODE: 'true' };
  for (const HOST of ['localhost', '127.0.0.1', '::1']) expect(problemsOf({ ...compat, HOST })).toBe('');
  expect(problemsOf(compat)).toBe('');
  expect(problemsOf({ ...compat, HOST: '0.0.0.0' })).toMatch(
    /DEV_MODE: got true with HOST=0\.0\.0\.0 .* expected a loopback address and no proxy/,
  );
  expect(problemsOf({ ...compat, TRUST_PROXY_HOPS: '1' })).toMatch(/TRUST_PROXY_HOPS=1, expected/);
  for (const CORS_ORIGINS of ['*', 'null', 'http://localhost:5173,https://example.com', 'http://localhost.example', 'localhost'])
    expect(problemsOf({ ...compat, CORS_ORIGINS })).toMatch(
      /DEV_MODE: got true with ".*" in CORS_ORIGINS, expected origins of this machine/,
    );
  expect(problemsOf({ ...compat, CORS_ORIGINS: 'http://localhost:5173,http://[::1]:80,https://127.0.0.1' })).toBe('');
  expect(problemsOf({ ...compat, DEV_MODE: 'false', HOST: '0.0.0.0', CORS_ORIGINS: '*' })).toBe('');
  expect(problemsOf({ COMPAT_TENANT: 'a b' })).toMatch(/COMPAT_TENANT: got "a b", expected the id of a tenant/);
});

test('ADMIN_PORT must differ from PORT', () => {
  expect(problemsOf({ ADMIN_PORT: '3000' })).toMatch(/ADMIN_PORT: got 3000, expected another port than PORT/);
  expect(problemsOf({ PORT: '0', ADMIN_PORT: '0' })).toBe('');
  expect(loadConfig({ PORT: '8080', ADMIN_PORT: '9090' })).toMatchObject({ ADMIN_PORT: 9090, ADMIN_HOST: '127.0.0.1' });
});

test('the keys of capabilities are at least 32 bytes in base64, with an id for each key', () => {
  const [active, next] = [0xca, 0xcb].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [string, string];
  const ofGuide = Buffer.from('this is the sample key of a guide!').toString('base64');
  const production = { NODE_ENV: 'production', JWT_SECRET: strong };
  const ids = { CAP_KEY_ACTIVE_ID: 'prod-2024-01', CAP_KEY_NEXT_ID: 'prod-2024-02' };
  expect(problemsOf({ ...production, ...ids, CAP_KEY_ACTIVE: active, CAP_KEY_NEXT: next })).toBe('');
  expect(problemsOf({ CAP_KEY_ACTIVE: ofGuide })).toBe('');
  expect(problemsOf({ ...production, CAP_KEY_ACTIVE: ofGuide })).toMatch(/CAP_KEY_ACTIVE: got an example value/);
  expect(problemsOf({ CAP_KEY_ACTIVE: active.slice(4) })).toMatch(
    /CAP_KEY_ACTIVE: got a value that is not shown, expected at least 32 bytes/,
  );
  expect(problemsOf({ CAP_KEY_ACTIVE: `${active.slice(1)}!` })).toMatch(/CAP_KEY_ACTIVE/);
  expect(problemsOf({ CAP_KEY_ACTIVE_ID: 'Prod_1' })).toMatch(/CAP_KEY_ACTIVE_ID: got .*, expected 1 to 32 characters/);
  expect(problemsOf({ ...production, CAP_KEY_NEXT: next })).toMatch(/CAP_KEY_ACTIVE: got nothing/);
  // the third step of a rotation: NEXT has become ACTIVE
  const same = { CAP_KEY_ACTIVE: next, CAP_KEY_NEXT: next };
  expect(problemsOf({ ...same, CAP_KEY_ACTIVE_ID: 'k2', CAP_KEY_NEXT_ID: 'k2' })).toBe('');
  expect(problemsOf(same)).toMatch(/CAP_KEY_NEXT_ID: expected an id of its own/);
  expect(problemsOf({ CAP_KEY_ACTIVE: active, CAP_KEY_NEXT: next, CAP_KEY_ACTIVE_ID: 'k', CAP_KEY_NEXT_ID: 'k' })).toMatch(
    /CAP_KEY_NEXT_ID/,
  );
});
