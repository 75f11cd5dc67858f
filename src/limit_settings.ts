import { duration, flag, setting, whole } from './setting_types.ts';

// Settings of the group "Limits"; src/settings.ts includes them.

const MIB = 1024 * 1024;

/** A limit of requests per window. Outside production the default is larger (`outsideProduction` in config.ts). */
const perWindow = (most: number, byDefault: string, about: string, elsewhere: string) =>
  setting(whole(1, most), byDefault, 'Limits', `${about} per window; the default outside production is ${elsewhere}`);

export const limitSettings = {
  RATE_LIMIT_ENABLED: setting(
    flag,
    'true',
    'Limits',
    '`false` disables the limits on requests; failed logins and wrong keys are still throttled per account',
  ),
  RATE_LIMIT_WINDOW_MS: setting(whole(1000, 86_400_000), '60000', 'Limits', 'length of the window in ms'),
  RATE_LIMIT_MAX_REQUESTS: perWindow(
    10_000_000,
    '100',
    'maximum number of requests to /v1 by a user and the keys of that user',
    '6000',
  ),
  RATE_LIMIT_TENANT_MAX: perWindow(100_000_000, '1000', 'maximum number of requests to /v1 by a tenant', '60000'),
  RATE_LIMIT_AUTH_MAX: perWindow(10_000_000, '100', 'maximum number of requests to /auth from an address', '6000'),
  RATE_LIMIT_MAX_BYTES: setting(
    whole(MIB, 1024 * 1024 * MIB),
    String(256 * MIB),
    'Limits',
    'maximum bytes of request bodies that a principal may send to /v1 per window; counted by Content-Length before the body is read',
  ),
  RATE_LIMIT_TENANT_BYTES: setting(
    whole(MIB, 1024 * 1024 * MIB),
    String(1024 * MIB),
    'Limits',
    'maximum bytes of request bodies that a tenant may send to /v1 per window',
  ),
  MAX_BODY_BYTES: setting(
    whole(1024, 1024 * MIB),
    String(2 * MIB),
    'Limits',
    'maximum size of a JSON body in bytes, except lists of events',
  ),
  MAX_BATCH_BYTES: setting(
    whole(1024, 1024 * MIB),
    String(40 * MIB),
    'Limits',
    'maximum size of a body with a list of events, in bytes',
  ),
  WORKERS: setting(
    whole(1, 64),
    '2',
    'Limits',
    'number of worker threads for large bodies and heavy reads; one tenant uses at most all but one',
  ),
  WORKERS_QUEUE: setting(
    whole(1, 10_000),
    '64',
    'Limits',
    'maximum number of large requests that wait for a worker thread; further ones are answered with 503',
  ),
  MAX_JSON_DEPTH: setting(whole(4, 500), '64', 'Limits', 'maximum nesting depth of a JSON request'),
  MAX_ARRAY_LENGTH: setting(
    whole(10, 1_000_000),
    '10000',
    'Limits',
    'maximum length of an array, and maximum number of keys of an object, in a JSON request',
  ),
  MAX_STRING_BYTES: setting(
    whole(1024, 512 * MIB),
    String(32 * MIB),
    'Limits',
    'maximum length of a string in a JSON request, in bytes',
  ),
  MAX_ARTIFACT_BYTES: setting(
    whole(1024, 512 * MIB),
    String(32 * MIB),
    'Limits',
    'maximum size of an artifact in bytes; a larger one is answered with 413',
  ),
  MAX_IMPORT_BYTES: setting(
    whole(1024, 1024 * 1024 * MIB * 1024),
    String(64 * 1024 * MIB),
    'Limits',
    'maximum size of an imported export in bytes; an import is streamed, never held in memory',
  ),
  CONSISTENCY_AT_ONCE: setting(
    whole(0, 1_000_000),
    '5000',
    'Limits',
    'maximum number of events of a tenant that a consistency check reads within the request; the check of a larger tenant is a job',
  ),
  MAX_EVENT_BYTES: setting(
    whole(128 * 1024, 64 * MIB),
    String(MIB),
    'Limits',
    'maximum size of the content and metadata of an event in bytes, without the text that was moved to an artifact; a larger one is answered with 413',
  ),
  MAX_BATCH_TEXT_BYTES: setting(
    whole(4 * MIB, 64 * MIB),
    String(4 * MIB),
    'Limits',
    'maximum indexed text of a request in bytes, of which one event may have at most 4 MiB; more is answered with 413, because it would block the tenant’s other writes',
  ),
  MAX_IN_FLIGHT_REQUESTS: setting(
    whole(1, 100_000),
    '1000',
    'Limits',
    'maximum number of concurrent requests of this daemon; further ones are answered with 503',
  ),
  MAX_IN_FLIGHT_BYTES: setting(
    whole(MIB, 16_384 * MIB),
    String(256 * MIB),
    'Limits',
    'maximum bytes of request bodies that this daemon holds in memory; further requests are answered with 503',
  ),
  MAX_SSE_CLIENTS: setting(
    whole(1, 100_000),
    '200',
    'Limits',
    'maximum number of followers of a tenant on this daemon; further ones are answered with 429',
  ),
  WATCH_BUFFER_SIZE: setting(
    whole(1, 1_000_000),
    '10000',
    'Limits',
    'maximum number of events that are buffered for a follower that reads slowly; one that takes nothing while its buffer is full is disconnected',
  ),
  WATCH_BUFFER_BYTES: setting(
    whole(64 * 1024, 1024 * MIB),
    String(10 * MIB),
    'Limits',
    'maximum size of these events in bytes; all followers of a daemon together have 128 MiB',
  ),
  MAX_TENANT_BYTES: setting(
    whole(0, Number.MAX_SAFE_INTEGER),
    '0',
    'Limits',
    'storage quota of a new tenant in bytes; 0 means unlimited',
  ),
  IDEMPOTENCY_TTL: setting(duration, '48h', 'Limits', 'time for which responses are stored for idempotent replay, at least 24h'),
};
