import { z } from 'zod';
import { readKey } from './seal.ts';
import { duration, flag, list, optional, setting, whole } from './setting_types.ts';

// Each setting says its meaning here; .env.example and the table in docs/configuration.md are made from this.

const MIB = 1024 * 1024;

/** Requests in a window; outside production the default is larger (`outsideProduction` in config.ts). */
const perWindow = (most: number, byDefault: string, about: string, elsewhere: string) =>
  setting(whole(1, most), byDefault, 'Limits', `${about} per window; outside production the default is ${elsewhere}`);

export const settings = z.object({
  NODE_ENV: setting(
    z.enum(['development', 'test', 'production']),
    'development',
    'Server',
    '`production` refuses weak secrets and makes none itself',
  ),
  PORT: setting(whole(0, 65_535), '3000', 'Server', 'port to listen on; 0 takes a free one'),
  HOST: optional(z.string().min(1), 'Server', 'address to listen on; by default 127.0.0.1, in production 0.0.0.0'),
  TLS_CERT_FILE: optional(z.string(), 'Server', 'serve HTTPS with the certificate in this file; read at the start'),
  TLS_KEY_FILE: optional(z.string(), 'Server', 'file of its key'),
  TLS_CLIENT_CA_FILE: optional(z.string(), 'Server', 'admit only clients with a certificate of the authority in this file'),
  LOG_LEVEL: setting(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'Server',
    'least level that is logged (JSON on stdout)',
  ),
  TRUST_PROXY_HOPS: setting(
    whole(0, 10),
    '0',
    'Server',
    'how many reverse proxies stand before the daemon; exactly that many X-Forwarded-For entries are believed',
  ),
  CORS_ORIGINS: setting(list, '', 'Server', 'origins that browsers may call from, separated by commas; empty: none'),
  THIN_DOOR: setting(
    flag,
    'true',
    'Server',
    'serve the busiest routes in front of Express; false only to measure what that gives',
  ),
  REQUEST_TIMEOUT_MS: setting(whole(100, 600_000), '10000', 'Server', 'ms a request may take before it is answered 503'),
  SHUTDOWN_TIMEOUT_MS: setting(whole(100, 600_000), '12000', 'Server', 'ms that running requests get after SIGTERM'),
  SHUTDOWN_DELAY_MS: setting(
    whole(0, 60_000),
    '250',
    'Server',
    'ms between not-ready and the end of listening, in which clients are asked to close their connections; longer where a balancer polls readiness',
  ),

  DATA_DIR: setting(z.string().min(1), './data', 'Database', 'directory of the embedded database, development secret, exports'),
  DATABASE_URL: optional(
    z.string().regex(/^postgres(ql)?:\/\//, 'a postgres:// URL'),
    'Database',
    'PostgreSQL to use, as one URL (instead of PG*)',
  ),
  PGHOST: optional(
    z.string().min(1),
    'Database',
    'PostgreSQL server; with neither this nor DATABASE_URL the embedded database is used',
  ),
  PGPORT: setting(whole(1, 65_535), '5432', 'Database', 'its port'),
  PGDATABASE: setting(z.string().min(1), 'agent_memory', 'Database', 'database name'),
  PGUSER: setting(
    z.string().min(1),
    'memory',
    'Database',
    'user that connects; requests are served under a role that owns nothing',
  ),
  PGPASSWORD: optional(z.string(), 'Database', 'its password'),
  POSTGRES_PASSWORD: optional(z.string(), 'Database', 'read where PGPASSWORD is absent'),
  PGSSLMODE: setting(
    z.enum(['disable', 'require', 'verify-full']),
    'disable',
    'Database',
    'TLS to the database; `verify-full` checks its certificate',
  ),
  PGSSLROOTCERT: optional(z.string(), 'Database', 'file of the authority that signed the server certificate'),
  PGPOOL_MAX: setting(whole(1, 1000), '20', 'Database', 'most connections of this daemon, its worker threads’ included'),
  PGPOOL_MIN: setting(whole(0, 1000), '5', 'Database', 'connections kept open when idle'),
  PGPOOL_QUEUE: setting(whole(1, 100_000), '200', 'Database', 'requests that may wait for a connection; more are answered 503'),
  PGIDLE_TIMEOUT: setting(whole(0, 86_400_000), '30000', 'Database', 'ms before an idle connection above PGPOOL_MIN is closed'),
  PGCONNECTION_TIMEOUT: setting(whole(1, 600_000), '2000', 'Database', 'ms to wait for a connection'),
  PGMAX_LIFETIME: setting(whole(0, 86_400_000), '1800000', 'Database', 'ms after which a connection is replaced; 0: never'),
  PGLOCK_TIMEOUT: setting(whole(1, 600_000), '2000', 'Database', 'ms a statement waits for a lock'),
  PGSTATEMENT_TIMEOUT: setting(
    whole(1, 600_000),
    '5000',
    'Database',
    'ms a statement may run in PostgreSQL; never longer than its request',
  ),
  PGQUERY_TIMEOUT: setting(
    whole(1, 600_000),
    '6000',
    'Database',
    'ms to wait for a query before its connection is dropped, in case the server hangs; never longer than its request',
  ),
  PG_POOLER: setting(
    flag,
    'false',
    'Database',
    'a transaction pooler such as pgbouncer is between: no startup options, no named statements, no LISTEN',
  ),
  MIGRATE_ON_START: setting(
    flag,
    'true',
    'Database',
    'apply pending migrations at start; false and behind: exit with the command to run',
  ),

  JWT_SECRET: optional(
    z.string(),
    'Authentication',
    'signs access tokens; ≥ 32 bytes (`openssl rand -base64 32`). Development makes one under DATA_DIR',
  ),
  JWT_SECRET_NEXT: optional(
    z.string(),
    'Authentication',
    'accepted already, so that every daemon knows it before it becomes JWT_SECRET',
  ),
  JWT_SECRET_PREVIOUS: optional(z.string(), 'Authentication', 'accepted still, until the last token it signed has expired'),
  JWT_EXPIRES_IN: setting(duration, '24h', 'Authentication', 'lifetime of an access token'),
  JWT_ISSUER: setting(z.string().min(1), 'agent-memory-system', 'Authentication', '`iss` of access tokens'),
  JWT_AUDIENCE: setting(z.string().min(1), 'agent-memory-api', 'Authentication', '`aud` of access tokens'),
  REFRESH_EXPIRES_IN: setting(duration, '30d', 'Authentication', 'lifetime of a session without a refresh'),
  REGISTRATION: setting(
    z.enum(['open', 'closed']),
    'open',
    'Authentication',
    'whether new tenants may be made over HTTP; `npm run tenant -- create` always can',
  ),
  BCRYPT_COST: setting(whole(4, 15), '10', 'Authentication', 'work factor of password hashes (below 10 only for tests)'),
  BCRYPT_CONCURRENCY: setting(whole(1, 16), '2', 'Authentication', 'hashes computed at once'),
  BCRYPT_QUEUE: setting(whole(1, 10_000), '50', 'Authentication', 'hashes that may wait; more are answered 503'),
  ENCRYPTION_KEY: optional(
    z.string().refine((text) => readKey(text) !== undefined, '32 bytes in base64 (`openssl rand -base64 32`)'),
    'Authentication',
    'seals what is kept encrypted; 32 bytes in base64 (`openssl rand -base64 32`), the same for all daemons. Development makes one under DATA_DIR; without one production refuses to keep anything encrypted',
  ),
  ENCRYPTION_KEY_PREVIOUS: optional(
    z.string().refine((text) => readKey(text) !== undefined, '32 bytes in base64 (`openssl rand -base64 32`)'),
    'Authentication',
    'opens what was sealed before ENCRYPTION_KEY was changed',
  ),
  AUDIT_KEY: optional(
    z.string().min(32, 'at least 32 bytes (`openssl rand -base64 32`)'),
    'Authentication',
    'chains the audit, the same for all daemons and for `npm run audit:verify`; by default ENCRYPTION_KEY, or without it JWT_SECRET, gives one',
  ),
  AUDIT_KEY_PREVIOUS: setting(
    list.pipe(z.array(z.string().min(32, 'secrets of at least 32 bytes, separated by commas'))),
    '',
    'Authentication',
    'secrets that older entries of the audit were chained with, separated by commas: `npm run audit:verify` needs them',
  ),
  AUDIT_WINDOW_MS: setting(
    whole(100, 3_600_000),
    '60000',
    'Limits',
    'ms over which refusals are counted before they are written to the audit; a kill loses so much of the counts',
  ),
  CREDENTIAL_TTL_MS: setting(
    whole(0, 60_000),
    '20000',
    'Authentication',
    'ms that a daemon trusts what it knows of a credential; a revocation takes at most this long elsewhere',
  ),

  RATE_LIMIT_ENABLED: setting(
    flag,
    'true',
    'Limits',
    '`false` removes the limits on requests; failed log-ins and wrong keys are still throttled per account',
  ),
  RATE_LIMIT_WINDOW_MS: setting(whole(1000, 86_400_000), '60000', 'Limits', 'ms of the window'),
  RATE_LIMIT_MAX_REQUESTS: perWindow(10_000_000, '100', 'requests to /v1 of a user and the keys of that user', '6000'),
  RATE_LIMIT_TENANT_MAX: perWindow(100_000_000, '1000', 'requests to /v1 of a tenant', '60000'),
  RATE_LIMIT_AUTH_MAX: perWindow(10_000_000, '100', 'requests to /auth of an address', '6000'),
  RATE_LIMIT_MAX_BYTES: setting(
    whole(MIB, 1024 * 1024 * MIB),
    String(256 * MIB),
    'Limits',
    'bytes of request bodies that a principal may send to /v1 per window; charged by Content-Length before a body is read',
  ),
  RATE_LIMIT_TENANT_BYTES: setting(
    whole(MIB, 1024 * 1024 * MIB),
    String(1024 * MIB),
    'Limits',
    'bytes of request bodies that a tenant may send to /v1 per window',
  ),
  REDIS_URL: optional(
    z.string().regex(/^rediss?:\/\//, 'a redis:// URL'),
    'Limits',
    'Redis that shares the limits between daemons; without it the database does',
  ),
  MAX_BODY_BYTES: setting(whole(1024, 1024 * MIB), String(2 * MIB), 'Limits', 'largest JSON body, except lists of events'),
  MAX_BATCH_BYTES: setting(whole(1024, 1024 * MIB), String(40 * MIB), 'Limits', 'largest body with a list of events'),
  WORKERS: setting(whole(1, 64), '2', 'Limits', 'threads for large bodies and heavy reads; one tenant uses at most all but one'),
  WORKERS_QUEUE: setting(whole(1, 10_000), '64', 'Limits', 'large requests that may wait for a thread; further ones get 503'),
  MAX_JSON_DEPTH: setting(whole(4, 500), '64', 'Limits', 'deepest nesting of a JSON request'),
  MAX_ARRAY_LENGTH: setting(
    whole(10, 1_000_000),
    '10000',
    'Limits',
    'longest array, and most keys of one object, in a JSON request',
  ),
  MAX_STRING_BYTES: setting(whole(1024, 512 * MIB), String(32 * MIB), 'Limits', 'longest string in a JSON request'),
  MAX_ARTIFACT_BYTES: setting(whole(1024, 512 * MIB), String(32 * MIB), 'Limits', 'largest artifact; larger is answered 413'),
  MAX_IMPORT_BYTES: setting(
    whole(1024, 1024 * 1024 * MIB * 1024),
    String(64 * 1024 * MIB),
    'Limits',
    'largest export that is taken back in; it is streamed, not held',
  ),
  CONSISTENCY_AT_ONCE: setting(
    whole(0, 1_000_000),
    '5000',
    'Limits',
    'most events of a tenant whose consistency is checked within the request; a larger tenant’s check is a job',
  ),
  MAX_EVENT_BYTES: setting(
    whole(128 * 1024, 64 * MIB),
    String(MIB),
    'Limits',
    'largest content and metadata of one event, without the text that went into an artifact; larger is answered 413',
  ),
  MAX_BATCH_TEXT_BYTES: setting(
    whole(4 * MIB, 64 * MIB),
    String(4 * MIB),
    'Limits',
    'most indexed text of one request, of which an event has 4 MiB at most; more is answered 413, because it would hold up the tenant’s other writes',
  ),
  MAX_IN_FLIGHT_REQUESTS: setting(
    whole(1, 100_000),
    '1000',
    'Limits',
    'requests served at once by this daemon; more are answered 503',
  ),
  MAX_IN_FLIGHT_BYTES: setting(
    whole(MIB, 16_384 * MIB),
    String(256 * MIB),
    'Limits',
    'bytes of request bodies held at once by this daemon; more are answered 503',
  ),
  MAX_SSE_CLIENTS: setting(whole(1, 100_000), '200', 'Limits', 'followers of one tenant on this daemon; more are answered 429'),
  MAX_TENANT_BYTES: setting(whole(0, Number.MAX_SAFE_INTEGER), '0', 'Limits', 'bytes a new tenant may store; 0: no bound'),
  IDEMPOTENCY_TTL: setting(duration, '48h', 'Limits', 'how long answers are kept for retries (≥ 24h)'),
  WEBHOOK_ALLOW_PRIVATE: setting(
    flag,
    'false',
    'Webhooks',
    'deliver also to private, loopback and link-local addresses and over http://, for receivers in a network of your own. Outside production, loopback receivers need no setting while HOST is a loopback address',
  ),
  WEBHOOK_TIMEOUT_MS: setting(whole(100, 60_000), '10000', 'Webhooks', 'ms that a receiver may take to answer'),
  WEBHOOK_ATTEMPTS: setting(whole(1, 50), '12', 'Webhooks', 'attempts at one event before it becomes a dead letter'),
  WEBHOOK_RETRY_MS: setting(
    whole(10, 600_000),
    '5000',
    'Webhooks',
    'longest ms before the second attempt; doubled for each further one, at most an hour, of which a random part is waited',
  ),
  JOBS_PARALLEL: setting(whole(1, 64), '2', 'Jobs', 'long jobs (erasures, exports) that this daemon runs at once'),
  JOB_LEASE_MS: setting(
    whole(500, 600_000),
    '30000',
    'Jobs',
    'ms after which another daemon takes up the job of one that no longer renews it',
  ),
  SWEEP_DELAY_MS: setting(whole(0, 3_600_000), '10000', 'Jobs', 'ms from the start to the first sweep of expired rows'),
  ERASURE_LEDGER: optional(
    z.string().min(1),
    'Jobs',
    'file that erasures are written to, apart from the database, so that a restored backup is erased again (`npm run erasures:replay`); by default erasures.ndjson under DATA_DIR',
  ),
  TOKENIZER: setting(
    z.enum(['o200k_base', 'cl100k_base']),
    'o200k_base',
    'Context',
    'encoding that context budgets are counted in',
  ),
});
export type Config = Readonly<z.output<typeof settings>>;

/** Settings whose value may stand in a file named by `<NAME>_FILE`. */
export const secretSettings = [
  'JWT_SECRET',
  'JWT_SECRET_NEXT',
  'JWT_SECRET_PREVIOUS',
  'ENCRYPTION_KEY',
  'ENCRYPTION_KEY_PREVIOUS',
  'AUDIT_KEY',
  'AUDIT_KEY_PREVIOUS',
  'PGPASSWORD',
  'POSTGRES_PASSWORD',
  'DATABASE_URL',
  'REDIS_URL',
] as const;
