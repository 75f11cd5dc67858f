import { readFileSync } from 'node:fs';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisSettings } from '../redis_settings.ts';

// Creates clients of a single Redis, of a Redis Cluster, or of the primary server that sentinels name. They connect when they are first used.

export type Client = Redis | Cluster;

interface Address {
  host: string;
  port: number;
}

export function createClient(config: RedisSettings): Client {
  const options = optionsOf(config);
  const natMap = Object.fromEntries(
    config.REDIS_NAT_MAP.map((pair) => pair.split('=') as [string, string]).map(([announced, reachable]) => [
      announced,
      addressOf(reachable),
    ]),
  );
  if (config.REDIS_CLUSTER_NODES.length > 0) {
    const { retryStrategy, enableAutoPipelining, lazyConnect, ...redisOptions } = options;
    return new Cluster(config.REDIS_CLUSTER_NODES.map(addressOf), {
      redisOptions,
      natMap,
      ...{ lazyConnect: true, enableAutoPipelining: true },
      clusterRetryStrategy: delayOf,
      maxRedirections: config.REDIS_MAX_RETRIES,
      slotsRefreshTimeout: config.REDIS_CONNECT_TIMEOUT_MS,
      // TLS verifies the name of a node, so names are not replaced by addresses
      ...(options.tls && { dnsLookup: (host, done) => done(null, host) }),
    });
  }
  if (config.REDIS_SENTINELS.length === 0) return new Redis(options);
  return new Redis({
    ...options,
    natMap,
    sentinels: config.REDIS_SENTINELS.map(addressOf),
    name: config.REDIS_SENTINEL_NAME,
    sentinelPassword: config.REDIS_SENTINEL_PASSWORD,
    sentinelRetryStrategy: delayOf,
    sentinelCommandTimeout: config.REDIS_COMMAND_TIMEOUT_MS,
    ...(options.tls && { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
  });
}

/** Where Redis is, without credentials. */
export function placeOf(config: RedisSettings): string {
  const { REDIS_URL, REDIS_CLUSTER_NODES, REDIS_SENTINELS } = config;
  const nodes = [...REDIS_CLUSTER_NODES, ...REDIS_SENTINELS];
  if (nodes.length > 0 && REDIS_URL === undefined) return nodes.join(',');
  const { host, port } = endpointOf(config);
  return `${host}:${port}`;
}

const delayOf = (attempt: number): number => Math.min(attempt * 100, 2000);

function optionsOf(config: RedisSettings): RedisOptions {
  const { tls, ...endpoint } = endpointOf(config);
  const { REDIS_TLS_CA: ca, REDIS_TLS_SERVERNAME: servername } = config;
  return {
    ...endpoint,
    ...(tls && { tls: { ...(ca !== undefined && { ca: readFileSync(ca) }), ...(servername !== undefined && { servername }) } }),
    // RESP2, which Redis 5 speaks as well
    protocol: 2,
    lazyConnect: true,
    enableAutoPipelining: true,
    connectTimeout: config.REDIS_CONNECT_TIMEOUT_MS,
    // A stopped server process keeps its connections open without answering.
    commandTimeout: config.REDIS_COMMAND_TIMEOUT_MS,
    // After a failover, the sentinels or the other nodes name the new primary.
    socketTimeout: 2 * config.REDIS_COMMAND_TIMEOUT_MS,
    // a former primary server
    reconnectOnError: ({ message }) => message.startsWith('READONLY'),
    // time to close a connection that hangs; the default delays the end of the process by 2 s
    disconnectTimeout: 100,
    maxRetriesPerRequest: config.REDIS_MAX_RETRIES,
    retryStrategy: delayOf,
  };
}

function endpointOf(config: RedisSettings) {
  if (config.REDIS_URL === undefined) {
    const { REDIS_HOST = 'localhost', REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB, REDIS_TLS } = config;
    return {
      ...{ host: REDIS_HOST, port: REDIS_PORT, username: REDIS_USERNAME, password: REDIS_PASSWORD, db: REDIS_DB, tls: REDIS_TLS },
    };
  }
  const { protocol, hostname, port, username, password, pathname } = new URL(config.REDIS_URL);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    db: Number(pathname.slice(1) || 0),
    tls: protocol === 'rediss:',
  };
}

function addressOf(text: string): Address {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
