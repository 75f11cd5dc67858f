import { z } from 'zod';
import { contextSettings } from './context_settings.ts';
import { limitSettings } from './limit_settings.ts';
import { modelSettings } from './model_settings.ts';
import { redisSettings } from './redis_settings.ts';
import { readKey } from './seal.ts';
import { serverSettings } from './server_settings.ts';
import { duration, flag, list, optional, setting, whole } from './setting_types.ts';

// All settings with their descriptions. `npm run configuration` generates .env.example and docs/configuration.md from them.

const keyId = z.string().regex(/^[a-z0-9-]{1,32}$/, '1 to 32 characters of a-z, 0-9 and "-"');
const MIN_CAPABILITY_KEY_BYTES = 32;
const capabilityKey = z
  .string()
  .refine(
    (text) => /^[A-Za-z0-9+/]+={0,2}$/.test(text) && Buffer.from(text, 'base64').length >= MIN_CAPABILITY_KEY_BYTES,
    `at least ${MIN_CAPABILITY_KEY_BYTES} bytes in base64 (\`openssl rand -base64 32\`)`,
  );

export const settings = z.object({
  ...serverSettings,
  DATA_DIR: setting(z.string().min(1), './data', 'Database', 'directory of the embedded database, generated secrets and exports'),
  DATABASE_URL: optional(
    z.string().regex(/^postgres(ql)?:\/\//, 'a postgres:// URL'),
    'Database',
    'URL of the PostgreSQL server; replaces the PG* settings',
  ),
  PGHOST: optional(
    z.string().min(1),
    'Database',
    'host of the PostgreSQL server; if neither this nor DATABASE_URL is set, the embedded database is used',
  ),
  PGPORT: setting(whole(1, 65_535), '5432', 'Database', 'port of the PostgreSQL server'),
  PGDATABASE: setting(z.string().min(1), 'agent_memory', 'Database', 'database name'),
  PGUSER: setting(z.string().min(1), 'memory', 'Database', 'user to connect as; requests run under a role that owns no tables'),
  PGPASSWORD: optional(z.string(), 'Database', 'password of PGUSER'),
  POSTGRES_PASSWORD: optional(z.string(), 'Database', 'used if PGPASSWORD is not set'),
  PGSSLMODE: setting(
    z.enum(['disable', 'require', 'verify-full']),
    'disable',
    'Database',
    'TLS to the database; `verify-full` verifies the server certificate and its host name',
  ),
  PGSSLROOTCERT: optional(z.string(), 'Database', 'file with the certificate authority that signed the server certificate'),
  PGPOOL_MAX: setting(
    whole(1, 1000),
    '20',
    'Database',
    'maximum number of connections of this daemon, including its worker threads',
  ),
  PGPOOL_MIN: setting(whole(0, 1000), '5', 'Database', 'number of idle connections that are kept open'),
  PGPOOL_QUEUE: setting(
    whole(1, 100_000),
    '200',
    'Database',
    'maximum number of requests that wait for a connection; further ones are answered with 503',
  ),
  PGIDLE_TIMEOUT: setting(
    whole(0, 86_400_000),
    '30000',
    'Database',
    'time in ms after which an idle connection above PGPOOL_MIN is closed',
  ),
  PGCONNECTION_TIMEOUT: setting(whole(1, 600_000), '2000', 'Database', 'time in ms to wait for a connection'),
  PGMAX_LIFETIME: setting(
    whole(0, 86_400_000),
    '1800000',
    'Database',
    'time in ms after which a connection is replaced; 0 means never',
  ),
  PGLOCK_TIMEOUT: setting(whole(1, 600_000), '2000', 'Database', 'time in ms that a statement waits for a lock'),
  PGSTATEMENT_TIMEOUT: setting(
    whole(1, 600_000),
    '5000',
    'Database',
    'time in ms that a statement may run in PostgreSQL, at most the remaining time of its request',
  ),
  PGQUERY_TIMEOUT: setting(
    whole(1, 600_000),
    '6000',
    'Database',
    'time in ms after which the connection of an unanswered query is dropped, in case the server hangs; at most the remaining time of its request',
  ),
  PG_POOLER: setting(
    flag,
    'false',
    'Database',
    'set to true behind a transaction pooler such as pgbouncer: no startup options, no named statements, no LISTEN',
  ),
  MIGRATE_ON_START: setting(
    flag,
    'true',
    'Database',
    'apply pending migrations at startup; if false and migrations are pending, the daemon exits and prints the command to run',
  ),

  JWT_SECRET: optional(
    z.string(),
    'Authentication',
    'secret that signs access tokens, at least 32 bytes (`openssl rand -base64 32`). Outside production a secret is generated under DATA_DIR',
  ),
  JWT_SECRET_NEXT: optional(
    z.string(),
    'Authentication',
    'next JWT_SECRET, already accepted, so that every daemon accepts it before it starts to sign',
  ),
  JWT_SECRET_PREVIOUS: optional(
    z.string(),
    'Authentication',
    'previous JWT_SECRET, still accepted; keep it until the last token that it signed has expired',
  ),
  JWT_EXPIRES_IN: setting(duration, '24h', 'Authentication', 'lifetime of an access token'),
  JWT_ISSUER: setting(z.string().min(1), 'agent-memory-system', 'Authentication', '`iss` of access tokens'),
  JWT_AUDIENCE: setting(z.string().min(1), 'agent-memory-api', 'Authentication', '`aud` of access tokens'),
  REFRESH_EXPIRES_IN: setting(duration, '30d', 'Authentication', 'time after which a session without a refresh expires'),
  REGISTRATION: setting(
    z.enum(['open', 'closed']),
    'open',
    'Authentication',
    'whether tenants can be created over HTTP; `npm run tenant -- create` is always allowed',
  ),
  BCRYPT_COST: setting(whole(4, 15), '10', 'Authentication', 'work factor of password hashes; less than 10 only for tests'),
  BCRYPT_CONCURRENCY: setting(whole(1, 16), '2', 'Authentication', 'number of password hashes that are computed concurrently'),
  BCRYPT_QUEUE: setting(
    whole(1, 10_000),
    '50',
    'Authentication',
    'maximum number of logins that wait for a hash; further ones are answered with 503',
  ),
  ENCRYPTION_KEY: optional(
    z.string().refine((text) => readKey(text) !== undefined, '32 bytes in base64 (`openssl rand -base64 32`)'),
    'Authentication',
    'key of stored secrets: 32 bytes in base64 (`openssl rand -base64 32`), the same for all daemons. Outside production a key is generated under DATA_DIR. Without a key in production, requests that would store encrypted values are rejected',
  ),
  ENCRYPTION_KEY_PREVIOUS: optional(
    z.string().refine((text) => readKey(text) !== undefined, '32 bytes in base64 (`openssl rand -base64 32`)'),
    'Authentication',
    'previous ENCRYPTION_KEY; decrypts the values that it encrypted',
  ),
  AUDIT_KEY: optional(
    z.string().min(32, 'at least 32 bytes (`openssl rand -base64 32`)'),
    'Authentication',
    'key of the hash chain of the audit, the same for all daemons and for `npm run audit:verify`; derived from ENCRYPTION_KEY, else from JWT_SECRET, if not set',
  ),
  AUDIT_KEY_PREVIOUS: setting(
    list.pipe(z.array(z.string().min(32, 'secrets of at least 32 bytes, separated by commas'))),
    '',
    'Authentication',
    'comma-separated secrets that older entries of the audit were chained with; `npm run audit:verify` needs them',
  ),
  AUDIT_WINDOW_MS: setting(
    whole(100, 3_600_000),
    '60000',
    'Limits',
    'time in ms over which repeated refusals are counted before the count is written to the audit; if the daemon is killed, the counts of this time are lost',
  ),
  CAP_KEY_ACTIVE_ID: setting(
    keyId,
    'active',
    'Authentication',
    'id of CAP_KEY_ACTIVE, the first part of the capabilities that it signs',
  ),
  CAP_KEY_ACTIVE: optional(
    capabilityKey,
    'Authentication',
    'key that signs capabilities: at least 32 bytes in base64 (`openssl rand -base64 32`), the same for all daemons. Outside production a key is generated under DATA_DIR. Without a key in production, there are no capabilities',
  ),
  CAP_KEY_NEXT_ID: setting(keyId, 'next', 'Authentication', 'id of CAP_KEY_NEXT'),
  CAP_KEY_NEXT: optional(
    capabilityKey,
    'Authentication',
    'key that will replace CAP_KEY_ACTIVE. It verifies at once, and signs once every running daemon has it',
  ),
  CREDENTIAL_TTL_MS: setting(
    whole(0, 60_000),
    '20000',
    'Authentication',
    'time in ms for which a daemon caches the state of a credential; a revocation takes effect on all other daemons within this time',
  ),

  ...limitSettings,
  ...redisSettings,
  WEBHOOK_ALLOW_PRIVATE: setting(
    flag,
    'false',
    'Webhooks',
    'also deliver to private, loopback and link-local addresses and over http://, for receivers in your own network. Outside production, loopback receivers are always allowed while HOST is a loopback address',
  ),
  WEBHOOK_TIMEOUT_MS: setting(whole(100, 60_000), '10000', 'Webhooks', 'time in ms that a receiver has to respond'),
  WEBHOOK_ATTEMPTS: setting(
    whole(1, 50),
    '12',
    'Webhooks',
    'number of attempts to deliver an event before it becomes a dead letter',
  ),
  WEBHOOK_RETRY_MS: setting(
    whole(10, 600_000),
    '5000',
    'Webhooks',
    'maximum delay in ms before the second attempt. It doubles with each further attempt, up to an hour; the actual delay is a random part of it',
  ),
  JOBS_PARALLEL: setting(whole(1, 64), '2', 'Jobs', 'number of jobs (erasures, exports) that this daemon runs concurrently'),
  JOB_LEASE_MS: setting(
    whole(500, 600_000),
    '30000',
    'Jobs',
    'time in ms after which another daemon continues a job whose lease was not renewed',
  ),
  SWEEP_DELAY_MS: setting(whole(0, 3_600_000), '10000', 'Jobs', 'time in ms from startup to the first sweep of expired rows'),
  ERASURE_LEDGER: optional(
    z.string().min(1),
    'Jobs',
    'file outside the database that erasures are recorded in, so that they can be repeated on a restored backup (`npm run erasures:replay`); the default is erasures.ndjson under DATA_DIR',
  ),
  ...contextSettings,
  ...modelSettings,
});
export type Config = Readonly<z.output<typeof settings>>;

/** Settings that can be read from a file, which `<NAME>_FILE` names. */
export const secretSettings = [
  'JWT_SECRET',
  'JWT_SECRET_NEXT',
  'JWT_SECRET_PREVIOUS',
  'ENCRYPTION_KEY',
  'ENCRYPTION_KEY_PREVIOUS',
  'AUDIT_KEY',
  'AUDIT_KEY_PREVIOUS',
  // Not secret, but the Helm values of the AgentState guide have them among the secrets.
  'CAP_KEY_ACTIVE_ID',
  'CAP_KEY_ACTIVE',
  'CAP_KEY_NEXT_ID',
  'CAP_KEY_NEXT',
  'PGPASSWORD',
  'POSTGRES_PASSWORD',
  'DATABASE_URL',
  'REDIS_URL',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
  'EMBEDDINGS_API_KEY',
  'RERANK_API_KEY',
] as const;
