import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.ts';
import { openLink, startRedis, startSentinel } from '../../support/redis.ts';
import { describeWith } from '../../support/tool.ts';

const SET = "return redis.call('SET', KEYS[1], ARGV[1])";
/** A sentinel on a loaded machine, whose timers are late, suspends failovers for 30 s at a time. */
const FAILOVER_MS = 240_000;

describeWith(['redis-server', 'redis-cli'], 'Redis behind a sentinel', () => {
  test.each(['SIGKILL', 'SIGSTOP'] as const)('the successor of a primary server is used after %s', async (signal) => {
    const dir = mkdtempSync(join(tmpdir(), 'sentinel-'));
    const primary = await startRedis();
    const replica = await startRedis(['--replicaof', '127.0.0.1', String(primary.port)]);
    const sentinel = await startSentinel(primary, dir);
    const link = openLink({ REDIS_SENTINELS: `127.0.0.1:${sentinel.port}` });
    try {
      await link.run(SET, ['before'], ['1']);
      // a failover considers only replicas whose state the sentinel knows
      const known = async () => /master-link-status\s+ok/.test(await sentinel.cli('sentinel', 'replicas', 'mymaster'));
      await eventually(known, 'the sentinel knows the replica', FAILOVER_MS);
      primary.process.kill(signal);
      const written = async () => (await link.run(SET, ['after'], ['2']).catch(() => undefined)) === 'OK';
      await eventually(written, 'the failover', FAILOVER_MS);
      expect(await replica.cli('mget', 'agent_memory:before', 'agent_memory:after')).toBe('1\n2');
    } finally {
      link.stop();
      for (const server of [sentinel, replica, primary]) await server.kill();
      rmSync(dir, { recursive: true });
    }
  });
});
