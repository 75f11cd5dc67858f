import { z } from 'zod';
import { flag, list, optional, setting, whole } from './setting_types.ts';

// Settings of the group "Server"; src/settings.ts includes them.

export const serverSettings = {
  NODE_ENV: setting(
    z.enum(['development', 'test', 'production']),
    'development',
    'Server',
    '`production` rejects weak secrets and never generates secrets',
  ),
  PORT: setting(whole(0, 65_535), '3000', 'Server', 'port to listen on; 0 chooses a free port'),
  HOST: optional(
    z.string().min(1),
    'Server',
    'address to listen on; the default is 0.0.0.0 in production and 127.0.0.1 elsewhere',
  ),
  ADMIN_PORT: optional(
    whole(0, 65_535),
    'Server',
    'separate port for the routes that are for operators: /metrics, /metrics/json and the /admin paths of COMPAT_TENANT; 0 chooses a free port. Without it, PORT serves them',
  ),
  ADMIN_HOST: setting(z.string().min(1), '127.0.0.1', 'Server', 'address to listen on for ADMIN_PORT'),
  REGION: optional(
    z.string().regex(/^[\w.-]{1,64}$/, 'at most 64 letters, digits, ".", "_" or "-"'),
    'Server',
    'name of the region that this daemon runs in, such as us-west-2; it rejects capabilities that are limited to other regions',
  ),
  DEV_MODE: setting(
    flag,
    'false',
    'Server',
    "for COMPAT_TENANT only: its paths accept requests without a credential, which act as the agent `dev-mode`, as in AgentState's development mode. Requires a loopback HOST, no proxy, no other machine in CORS_ORIGINS, and not production",
  ),
  COMPAT_TENANT: optional(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'the id of a tenant'),
    'Server',
    'the tenant whose state is also served by the HTTP interface of AgentState; without it, that interface is off',
  ),
  TLS_CERT_FILE: optional(z.string(), 'Server', 'file with the certificate to serve HTTPS with; read at startup'),
  TLS_KEY_FILE: optional(z.string(), 'Server', 'file with the private key of TLS_CERT_FILE'),
  TLS_CLIENT_CA_FILE: optional(
    z.string(),
    'Server',
    'file with a certificate authority; only clients with a certificate signed by it are accepted',
  ),
  LOG_LEVEL: setting(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'Server',
    'minimum level of log lines (JSON on stdout)',
  ),
  TRUST_PROXY_HOPS: setting(
    whole(0, 10),
    '0',
    'Server',
    'number of reverse proxies in front of the daemon; that many entries of X-Forwarded-For, from the right, are trusted',
  ),
  CORS_ORIGINS: setting(list, '', 'Server', 'comma-separated origins that browsers may call from; empty allows none'),
  THIN_DOOR: setting(
    flag,
    'true',
    'Server',
    'let the busiest routes bypass Express; set to false only to measure the difference',
  ),
  REQUEST_TIMEOUT_MS: setting(whole(100, 600_000), '10000', 'Server', 'time in ms after which a request is answered with 503'),
  SHUTDOWN_TIMEOUT_MS: setting(
    whole(100, 600_000),
    '12000',
    'Server',
    'time in ms that running requests have to finish after SIGTERM',
  ),
  SHUTDOWN_DELAY_MS: setting(
    whole(0, 60_000),
    '250',
    'Server',
    'time in ms between reporting not ready and closing the port; responses ask clients to close their connections meanwhile. Must exceed the interval at which a load balancer polls readiness',
  ),
};
