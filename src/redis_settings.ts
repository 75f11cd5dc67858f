import { z } from 'zod';
import { flag, list, optional, setting, whole } from './setting_types.ts';

// Settings of the group "Redis"; src/settings.ts includes them.

const GROUP = 'Redis';
const ADDRESS = String.raw`(?:\[[0-9a-fA-F:.]+\]|[^\s:,=\[\]]+):\d{1,5}`;
const addresses = list.pipe(z.array(z.string().regex(new RegExp(`^${ADDRESS}$`), 'host:port, separated by commas')));

export const redisSettings = {
  REDIS_URL: optional(
    z.string().regex(/^rediss?:\/\/[^\s?#]+$/, 'a redis:// or rediss:// URL without a query'),
    GROUP,
    'URL of a Redis server, `rediss://` for TLS; replaces REDIS_HOST, REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB and REDIS_TLS. Redis is optional: see docs/redis.md',
  ),
  REDIS_HOST: optional(z.string().min(1), GROUP, 'host of a single Redis server'),
  REDIS_PORT: setting(whole(1, 65_535), '6379', GROUP, 'port of REDIS_HOST'),
  REDIS_USERNAME: optional(z.string().min(1), GROUP, 'user of the Redis ACL; the default user if not set'),
  REDIS_PASSWORD: optional(z.string().min(1), GROUP, 'password of the Redis server or of all its nodes'),
  REDIS_DB: setting(whole(0, 1_000_000), '0', GROUP, 'number of the Redis database; a cluster has only 0'),
  REDIS_TLS: setting(flag, 'false', GROUP, 'whether to use TLS with REDIS_HOST, the nodes or the sentinels'),
  REDIS_TLS_CA: optional(
    z.string().min(1),
    GROUP,
    'file with the certificate authority that signed the certificates of Redis; by default those that Node.js trusts',
  ),
  REDIS_TLS_SERVERNAME: optional(
    z.string().min(1),
    GROUP,
    'host name that the certificates must have, for nodes that announce other addresses',
  ),
  REDIS_CLUSTER_NODES: setting(
    addresses,
    '',
    GROUP,
    'comma-separated host:port of some nodes of a Redis Cluster, which name all others',
  ),
  REDIS_NAT_MAP: setting(
    list.pipe(z.array(z.string().regex(new RegExp(`^${ADDRESS}=${ADDRESS}$`), 'host:port=host:port, separated by commas'))),
    '',
    GROUP,
    'comma-separated `announced=reachable` addresses (host:port) of nodes behind NAT',
  ),
  REDIS_SENTINELS: setting(addresses, '', GROUP, 'comma-separated host:port of the sentinels that name the primary server'),
  REDIS_SENTINEL_NAME: setting(z.string().min(1), 'mymaster', GROUP, 'name of the primary server at the sentinels'),
  REDIS_SENTINEL_PASSWORD: optional(z.string().min(1), GROUP, 'password of the sentinels'),
  REDIS_KEY_PREFIX: setting(
    // braces would decide the slot of a key in a cluster
    z.string().regex(/^[^\s{}]{1,100}$/, '1 to 100 characters without spaces and braces'),
    'agent_memory:',
    GROUP,
    'start of all keys and channels, the same for all daemons and different for each service on the same Redis',
  ),
  REDIS_CONNECT_TIMEOUT_MS: setting(whole(10, 600_000), '2000', GROUP, 'time in ms to wait for a connection'),
  REDIS_COMMAND_TIMEOUT_MS: setting(
    whole(10, 600_000),
    '1000',
    GROUP,
    'time in ms to wait for an answer. Rate limits and checks of ended mandates wait at most 50 ms for it',
  ),
  REDIS_MAX_RETRIES: setting(
    whole(0, 100),
    '3',
    GROUP,
    'maximum number of retries of a command after a lost connection, and of redirections in a cluster',
  ),
};

export type RedisSettings = z.output<z.ZodObject<typeof redisSettings>>;

/** Whether the settings name a Redis. */
export const usesRedis = ({ REDIS_URL, REDIS_HOST, REDIS_CLUSTER_NODES, REDIS_SENTINELS }: RedisSettings): boolean =>
  REDIS_URL !== undefined || REDIS_HOST !== undefined || REDIS_CLUSTER_NODES.length > 0 || REDIS_SENTINELS.length > 0;

export function redisFaults(config: RedisSettings): string[] {
  const { REDIS_URL, REDIS_HOST, REDIS_CLUSTER_NODES, REDIS_SENTINELS, REDIS_DB } = config;
  const isCluster = REDIS_CLUSTER_NODES.length > 0;
  const isSingle = REDIS_URL !== undefined || REDIS_HOST !== undefined;
  const faults: string[] = [];
  if ([isSingle, isCluster, REDIS_SENTINELS.length > 0].filter(Boolean).length > 1)
    faults.push('REDIS_CLUSTER_NODES, REDIS_SENTINELS: expected one kind of Redis: a single server, a cluster or sentinels');
  if (isCluster && REDIS_DB !== 0) faults.push(`REDIS_DB: got ${REDIS_DB}, expected 0, because REDIS_CLUSTER_NODES is set`);
  return faults;
}
