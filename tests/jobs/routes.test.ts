import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { startJob } from '../../src/jobs/index.ts';
import { createLogger } from '../../src/log.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase, testOnServer } from '../support/database.ts';

const test_on_server = testOnServer('it has one daemon');

test_on_server('an admin sees the jobs of the tenant, others those they began, and nobody another tenant’s', async () => {
  const testDatabase = await daemonDatabase();
  const daemon = await startTestDaemon({}, testDatabase.env);
  const database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  const owner = await newTenant(daemon.url);
  const [bob, carol] = [await newColleague(owner, 'bob'), await newColleague(owner, 'carol')];
  const stranger = await newTenant(daemon.url);
  const began = (client: Client) =>
    startJob(database.tenants(owner.tenant_id), 'unknown', { of: client.username }, client.user_id);
  const [first, second] = [await began(bob), await began(owner)];

  const list = async (client: Client, query = '') =>
    (await client.request('GET', `/v1/jobs${query}`)).body.data.map((job: { job_id: string }) => job.job_id);
  expect(await list(owner)).toEqual([second.job_id, first.job_id]);
  expect(await list(bob)).toEqual([first.job_id]);
  expect(await list(carol)).toEqual([]);
  expect(await list(stranger)).toEqual([]);
  const page = await owner.request('GET', '/v1/jobs?limit=1');
  expect(await list(owner, `?limit=1&cursor=${page.body.next_cursor}`)).toEqual([first.job_id]);
  expect(await list(owner, '?kind=other')).toEqual([]);
  const read = async (client: Client, job_id: string) => (await client.request('GET', `/v1/jobs/${job_id}`)).status;
  expect(await Promise.all([read(owner, first.job_id), read(bob, first.job_id)])).toEqual([200, 200]);
  expect(await Promise.all([read(bob, second.job_id), read(carol, first.job_id), read(stranger, first.job_id)])).toEqual([
    404, 404, 404,
  ]);
  await database.close();
  await daemon.stop();
  await testDatabase.release();
});
