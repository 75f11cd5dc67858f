import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { testRedis } from '../../src/limits/index.ts';
import type { RedisLink } from '../../src/redis/index.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/port.ts';
import {
  type Certificates,
  makeCertificates,
  openLink,
  type RedisServer,
  redisConfig,
  startRedis,
  startSentinel,
  tlsOptions,
} from '../support/redis.ts';
import { describeWith } from '../support/tool.ts';

const SET = "return redis.call('SET', KEYS[1], ARGV[1])";
const GET = "return redis.call('GET', KEYS[1])";
const links: RedisLink[] = [];
const servers: RedisServer[] = [];
const dir = mkdtempSync(join(tmpdir(), 'redis-'));

const open = (env: Record<string, string>, debug?: () => void): RedisLink => {
  const link = openLink(env, debug);
  links.push(link);
  return link;
};
const start = async (options: string[] = [], port?: number): Promise<RedisServer> => {
  const server = await startRedis(options, port);
  servers.push(server);
  return server;
};

afterEach(async () => {
  for (const link of links.splice(0)) link.stop();
  for (const server of servers.splice(0)) await server.kill();
});
afterAll(() => rmSync(dir, { recursive: true }));

describeWith(['redis-server', 'redis-cli'], 'a single Redis', () => {
  test('REDIS_HOST, PORT, USERNAME, PASSWORD, DB and KEY_PREFIX', async () => {
    const { port, cli } = await start(['--requirepass', 'a p@ss/word']);
    await cli('-a', 'a p@ss/word', 'acl', 'setuser', 'memory', 'on', '>of memory', '~prod:mandate:*', '+@all');
    const at = { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port), REDIS_DB: '3', REDIS_KEY_PREFIX: 'prod:mandate:' };
    await open({ ...at, REDIS_PASSWORD: 'a p@ss/word' }).run(SET, ['one'], ['1']);
    await open({ ...at, REDIS_USERNAME: 'memory', REDIS_PASSWORD: 'of memory' }).run(SET, ['two'], ['2']);
    const keys = await cli('-a', 'a p@ss/word', '-n', '3', 'keys', '*');
    expect(keys.split('\n').sort()).toEqual(['prod:mandate:one', 'prod:mandate:two']);
    await expect(open({ ...at, REDIS_PASSWORD: 'wrong' }).run(GET, ['one'], [])).rejects.toThrow();
  });

  test('REDIS_URL with encoded credentials and a database, which replaces REDIS_HOST', async () => {
    const { port, cli } = await start(['--requirepass', 'a p@ss/word']);
    const url = `redis://:a%20p%40ss%2Fword@127.0.0.1:${port}/5`;
    await open({ REDIS_URL: url, REDIS_HOST: 'redis.invalid' }).run(SET, ['one'], ['1']);
    expect(await cli('-a', 'a p@ss/word', '-n', '5', 'get', 'agent_memory:one')).toBe('1');
  });

  test('the permissions of an ACL that docs/redis.md lists are enough', async () => {
    const { port, cli } = await start();
    const page = readFileSync(join(import.meta.dirname, '../../docs/redis.md'), 'utf8');
    const rules = [.../An ACL .*/.exec(page)![0].matchAll(/`([~&+][^`]+)`/g)].map(([, rule]) => rule!);
    expect(await cli('acl', 'setuser', 'daemon', 'on', '>secret', ...rules)).toBe('OK');
    const env = { REDIS_URL: `redis://daemon:secret@127.0.0.1:${port}/1` };
    await testRedis(redisConfig(env));
    const link = open(env);
    let heard = 0;
    link.onSignal('kills', () => {
      heard += 1;
    });
    await eventually(async () => {
      await link.signal('kills');
      return heard > 1;
    }, 'a signal');
    expect(await link.run("redis.call('SADD', KEYS[1], 'a'); return redis.call('PEXPIRE', KEYS[1], 9)", ['ended:x'], [])).toBe(1);
  });

  test('a subscription begins when Redis does, and again after each lost connection', async () => {
    const port = await freePort();
    let failures = 0;
    const link = open({ REDIS_URL: `redis://127.0.0.1:${port}`, REDIS_MAX_RETRIES: '0' }, () => {
      failures += 1;
    });
    let heard = 0;
    link.onSignal('kills', () => {
      heard += 1;
    });
    await eventually(() => failures > 3, 'more attempts than a command has');
    for (const _ of ['the first server', 'the next']) {
      const before = heard;
      const { cli, kill } = await start([], port);
      await eventually(() => heard > before, 'the call at the start of the subscription');
      expect(await cli('publish', 'agent_memory:kills', '')).toBe('1');
      await eventually(() => heard > before + 1, 'the message');
      await kill();
    }
  });

  test('a hanging server is given up after REDIS_COMMAND_TIMEOUT_MS', async () => {
    const server = await start();
    const link = open({ REDIS_URL: `redis://127.0.0.1:${server.port}`, REDIS_COMMAND_TIMEOUT_MS: '100' });
    await eventually(() => link.run(SET, ['one'], ['1']).then(Boolean, () => false), 'an answer');
    server.process.kill('SIGSTOP');
    await expect(link.run(GET, ['one'], [])).rejects.toThrow(/timed out|within 100 ms/);
    server.process.kill('SIGCONT');
    await eventually(async () => (await link.run(GET, ['one'], []).catch(() => undefined)) === '1', 'the server answers again');
  });
});

describeWith(['redis-server', 'openssl'], 'Redis with TLS', () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = makeCertificates(dir, 'redis.internal');
  });

  test('rediss:// requires the authority and the name', async () => {
    const port = await freePort();
    await start(tlsOptions(port, certificates), port);
    const url = { REDIS_URL: `rediss://127.0.0.1:${port}` };
    const ca = { REDIS_TLS_CA: certificates.ca };
    await testRedis(redisConfig({ ...url, ...ca, REDIS_TLS_SERVERNAME: 'redis.internal' }));
    await expect(testRedis(redisConfig({ ...url, REDIS_TLS_SERVERNAME: 'redis.internal' }))).rejects.toThrow(/certificate/);
    await expect(testRedis(redisConfig({ ...url, ...ca }))).rejects.toThrow(/does not match certificate/);
    await expect(testRedis(redisConfig({ REDIS_URL: `redis://127.0.0.1:${port}` }))).rejects.toThrow();
  });

  test('REDIS_TLS applies to REDIS_HOST', async () => {
    const port = await freePort();
    await start(tlsOptions(port, certificates), port);
    const env = { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port), REDIS_TLS: 'true' };
    await testRedis(redisConfig({ ...env, REDIS_TLS_CA: certificates.ca, REDIS_TLS_SERVERNAME: 'redis.internal' }));
  });
});

describeWith(['redis-server', 'redis-cli'], 'Redis behind sentinels', () => {
  test('the primary server that a sentinel names is used', async () => {
    const primary = await start();
    const sentinel = await startSentinel(primary, dir);
    servers.push(sentinel);
    await open({ REDIS_SENTINELS: `127.0.0.1:1,127.0.0.1:${sentinel.port}` }).run(SET, ['one'], ['1']);
    expect(await primary.cli('get', 'agent_memory:one')).toBe('1');
  });
});

test('settings that contradict each other are rejected', () => {
  const load = (env: Record<string, string>) => () => loadConfig({ NODE_ENV: 'test', ...env });
  expect(load({ REDIS_URL: 'redis://a', REDIS_CLUSTER_NODES: 'b:1' })).toThrow(/one kind of Redis/);
  expect(load({ REDIS_SENTINELS: 'a:1', REDIS_CLUSTER_NODES: 'b:1' })).toThrow(/one kind of Redis/);
  expect(load({ REDIS_CLUSTER_NODES: 'b:1', REDIS_DB: '1' })).toThrow(/REDIS_DB/);
  expect(load({ REDIS_CLUSTER_NODES: 'b' })).toThrow(/host:port/);
  expect(load({ REDIS_NAT_MAP: 'b:1' })).toThrow(/host:port=host:port/);
  expect(load({ REDIS_URL: 'redis://a', REDIS_KEY_PREFIX: '{x}' })).toThrow(/braces/);
  expect(load({ REDIS_URL: 'redis://:kept-to-itself@a?b', REDIS_PASSWORD: 'x' })).not.toThrow(/kept-to-itself/);
  expect(load({ REDIS_CLUSTER_NODES: '[::1]:7000,redis-1.example.com:6379' })).not.toThrow();
});
