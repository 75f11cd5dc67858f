import { freePort } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';
import { requestEdge, startEdge, until } from './edge.ts';

describeWith(['nginx', 'openssl', 'curl'], 'nginx in front of a daemon with ADMIN_PORT', () => {
  test.each([['HTTP', false] as const, ['mutual TLS', true] as const])(
    'over %s the operator gets the metrics from that port, and the internet does not',
    async (_, mtls) => {
      const settings = { ADMIN_PORT: String(await freePort()) };
      const edge = await startEdge({ daemons: 1, watch: true, settings, mtls });
      try {
        const metrics = () => requestEdge(edge, '/metrics', { inClear: true });
        await until(async () => (await metrics()).status === 200, 'nginx has the list of the metrics');
        expect((await metrics()).text).toContain('agent_memory_total_requests');
        expect((await requestEdge(edge, '/metrics/json', { inClear: true })).status).toBe(200);
        expect((await requestEdge(edge, '/metrics')).status).toBe(404);
        expect((await requestEdge(edge, '/health')).status).toBe(200);
        if (!mtls) expect((await fetch(`${edge.daemons[0]!.url}/metrics`)).status).toBe(404);
      } finally {
        await edge.stop();
      }
    },
    120_000,
  );
});
