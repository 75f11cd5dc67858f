import { message, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { freePort } from '../support/port.ts';

describeOnServer('no second connection can change its settings', () => {
  test.each([['false'], ['true']])(
    'a database with a different time zone and date style returns the same times (PG_POOLER=%s)',
    async (PG_POOLER) => {
      const engine = testEngine();
      if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
      // a pooler drops startup options, so the settings come from the transaction only
      const first = await startTestDaemon();
      await withClient({ ...engine.cluster.admin, database: first.env.PGDATABASE! }, async (client) => {
        for (const setting of [`TimeZone = 'Asia/Kathmandu'`, `DateStyle = 'German'`, `IntervalStyle = 'sql_standard'`])
          await client.query(`alter database ${first.env.PGDATABASE} set ${setting}`);
      });
      const daemon = await startTestDaemon({ PG_POOLER, PORT: String(await freePort()) }, first.env);
      try {
        const alice = await newTenant(daemon.url);
        const occurred_at = '0023-06-15T12:30:00.000001Z';
        const { status } = await alice.request('POST', '/v1/events', { body: message('x', { occurred_at }) });
        expect(status).toBe(201);
        const { body } = await alice.request('GET', `/v1/events?since=${occurred_at}`);
        expect(body.data.map((event: { occurred_at: string }) => event.occurred_at)).toEqual([occurred_at]);
        expect(Math.abs(Date.parse(body.data[0].created_at) - Date.now())).toBeLessThan(3_600_000);
        const key = { name: 'k', role: 'member', scopes: ['read'], expires_at: '2999-01-01T00:00:00.5Z' };
        expect((await alice.request('POST', '/auth/api-keys', { body: key })).body.expires_at).toBe('2999-01-01T00:00:00.500Z');
        expect((await alice.request('GET', '/v1/export')).body).toContain('"0023-06-15T12:30:00.000001+00:00"');
      } finally {
        await daemon.stop();
        await first.stop();
      }
    },
  );
});
