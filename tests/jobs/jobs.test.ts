import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { Problem } from '../../src/http/problem.ts';
import { type Handlers, type Jobs, openJobs, startJob } from '../../src/jobs/index.ts';
import { claimJob, listDue, readJob, reportJob, sweepJobs } from '../../src/jobs/sql.ts';
import { createLogger } from '../../src/log.ts';
import { newName } from '../support/client.ts';
import { daemonDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

let copy: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
const log = createLogger('silent');
const opened: Jobs[] = [];
beforeAll(async () => {
  copy = await daemonDatabase();
  database = await openDatabase(loadConfig({ ...copy.env, NODE_ENV: 'test' }), log);
});
afterEach(async () => {
  for (const jobs of opened.splice(0)) await jobs.stop();
});
afterAll(async () => {
  await database.close();
  await copy.release();
});

async function makeTenant(): Promise<Tenant> {
  const tenant = database.tenants(newName('t'));
  await tenant.write((db) => db.run('insert into tenants (tenant_id) values ($1)', [tenant.id]));
  return tenant;
}

function open(handlers: Handlers, settings = { lease_ms: 1000, parallel: 2 }): Jobs {
  const jobs = openJobs(database.tenants, log, settings);
  jobs.run(handlers);
  opened.push(jobs);
  return jobs;
}

/** A lease that does not expire during a test. */
const LONG_MS = 600_000;
const spent = { max_tries: 100, problem: {} };
const view = (tenant: Tenant, job_id: string) => tenant.read((db) => readJob(db, tenant.id, job_id, null));
async function until(tenant: Tenant, job_id: string, state: string) {
  let job = await view(tenant, job_id);
  await eventually(async () => {
    job = await view(tenant, job_id);
    return job?.state === state;
  }, `the job to be ${state}`);
  return job!;
}
/** Expires the lease. */
const expire = (tenant: Tenant, job_id: string) =>
  tenant.write((db) => db.run('update jobs set due_at = clock_timestamp() where job_id = $1', [job_id]));

test('a job runs, reports progress, and keeps its result but not its input', async () => {
  const tenant = await makeTenant();
  const jobs = open({
    count: async (job) => {
      for (let i = 1; i <= job.input.to; i += 1) await job.report(i, job.input.to, { at: i });
      return { counted: job.input.to };
    },
  });
  const { job_id } = await jobs.start(tenant, 'count', { to: 5 }, 'usr_1');
  const job = await until(tenant, job_id, 'done');
  expect(job).toMatchObject({ kind: 'count', progress: { done: 5, total: 5 }, result: { counted: 5 } });
  expect(job.finished_at).toEqual(expect.any(String));
  const stored = await tenant.read((db) => db.row('select input, cursor from jobs where job_id = $1', [job_id]));
  expect(stored).toEqual({ input: {}, cursor: null });
});

test('a job without a handler in this process is left to others', async () => {
  const tenant = await makeTenant();
  const stranger = open({});
  const { job_id } = await stranger.start(tenant, 'count', { to: 1 }, 'usr_1');
  await stranger.resume();
  const left = await view(tenant, job_id);
  // claimed, released and due again later: not ended
  expect([left?.state, left?.problem, left?.finished_at]).toEqual(['running', undefined, undefined]);
});

test('if a daemon dies, another continues its job from the cursor, and the first one is rejected when it resumes', async () => {
  const tenant = await makeTenant();
  const { job_id } = await startJob(tenant, 'walk', { to: 4 }, 'usr_1');
  const dead = (await claimJob(tenant, job_id, 2, LONG_MS, spent))!;
  expect(await reportJob(tenant, job_id, dead.token, { done: 2, total: 4, cursor: 2 }, LONG_MS)).toBe(true);
  expect(await claimJob(tenant, job_id, 2, LONG_MS, spent)).toBeUndefined();

  const began: number[] = [];
  const jobs = open({
    walk: async (job) => {
      began.push(job.cursor);
      return { token: job.token };
    },
  });
  await jobs.resume();
  expect(began).toEqual([]);
  await expire(tenant, job_id);
  await jobs.resume();
  expect((await until(tenant, job_id, 'done')).result).toEqual({ token: dead.token + 1 });
  expect(began).toEqual([2]);
  expect(await reportJob(tenant, job_id, dead.token, { done: 3 }, LONG_MS)).toBe(false);
});

test('a job may run longer than its lease, and a daemon that stops releases it at once', async () => {
  const tenant = await makeTenant();
  let stoppedAt = 0;
  // much longer than the lease
  const STEPS = 100;
  const wait: Handlers = {
    wait: async (job) => {
      for (let i = job.done; i < STEPS; i += 1) {
        stoppedAt = i;
        await sleep(50);
        await job.report(i + 1, STEPS, i + 1);
      }
      return {};
    },
  };
  const lease_ms = 3_000;
  const first = open(wait, { lease_ms, parallel: 1 });
  const { job_id } = await first.start(tenant, 'wait', {}, 'usr_1');
  const began = performance.now();
  await eventually(() => stoppedAt > 10 && performance.now() - began > lease_ms, 'the job to outlive its lease');
  expect(await listDue(database.tenants(''), 2, 10)).toEqual([]);
  await first.stop();
  expect(await listDue(database.tenants(''), 2, 10)).toEqual([{ tenant_id: tenant.id, job_id }]);
  await open(wait, { lease_ms, parallel: 1 }).resume();
  expect((await until(tenant, job_id, 'done')).progress).toEqual({ done: STEPS, total: STEPS });
});

test('a job without progress fails after a number of claims; one with progress does not', async () => {
  const tenant = await makeTenant();
  const { job_id } = await startJob(tenant, 'deadly', {}, 'usr_1');
  const { job_id: other } = await startJob(tenant, 'slow', {}, 'usr_1');
  let claims = 0;
  const take = async (id: string) => {
    const job = await claimJob(tenant, id, 2, 0, spent);
    claims += 1;
    return job!;
  };
  for (let i = 0; i < 30; i += 1) {
    // each of these daemons dies
    await take(job_id);
    const { token } = await take(other);
    await reportJob(tenant, other, token, { done: i, cursor: i }, 0);
  }
  expect(claims).toBe(60);
  const begun: string[] = [];
  const handler = (name: string) => async () => ({ name: begun.push(name) });
  await open({ deadly: handler('deadly'), slow: handler('slow') }).resume();
  expect(await until(tenant, job_id, 'failed')).toMatchObject({
    problem: { status: 500, detail: expect.stringContaining('24 times') },
  });
  await until(tenant, other, 'done');
  expect(begun).toEqual(['slow']);
});

test('equal requests with one key start one job; a different body is rejected', async () => {
  const tenant = await makeTenant();
  const key = { key: 'aa'.repeat(32), body: 'bb'.repeat(32) };
  const made = await Promise.all(Array.from({ length: 8 }, () => startJob(tenant, 'x', {}, 'usr_1', key)));
  expect(new Set(made.map(({ job_id }) => job_id)).size).toBe(1);
  expect(made.filter(({ replay }) => !replay)).toHaveLength(1);
  await expect(startJob(tenant, 'x', {}, 'usr_1', { ...key, body: 'cc'.repeat(32) })).rejects.toMatchObject({ code: 'AM409' });
});

test('a tenant has at most twenty unfinished jobs and two running ones; jobs of other tenants run at the same time', async () => {
  const [busy, quiet] = [await makeTenant(), await makeTenant()];
  for (let i = 0; i < 20; i += 1) await startJob(busy, 'hold', {}, 'usr_1');
  await expect(startJob(busy, 'hold', {}, 'usr_1')).rejects.toMatchObject({ code: 'AM409' });
  await startJob(quiet, 'hold', {}, 'usr_1');
  const begun: string[] = [];
  let atOnce = 0;
  let most = 0;
  const jobs = open(
    {
      hold: async (job) => {
        begun.push(job.tenant.id);
        if (job.tenant.id === busy.id) most = Math.max(most, ++atOnce);
        await sleep(30);
        if (job.tenant.id === busy.id) atOnce -= 1;
        return {};
      },
    },
    { lease_ms: 5000, parallel: 4 },
  );
  await jobs.resume();
  expect(begun.slice(0, 4)).toContain(quiet.id);
  expect([begun.length, most]).toEqual([21, 2]);
}, 30_000);

test('a transient error is retried, any other fails the job with a problem without internal details', async () => {
  const tenant = await makeTenant();
  let tries = 0;
  const jobs = open({
    shaky: async () => {
      tries += 1;
      if (tries < 3) throw Object.assign(new Error('deadlock'), { code: '40P01' });
      return { tries };
    },
    broken: async () => {
      throw new Error('password=hunter2');
    },
    refused: async () => {
      throw new Problem('conflict', 'This is the last owner.');
    },
  });
  const ids = await Promise.all(['shaky', 'broken', 'refused'].map((kind) => jobs.start(tenant, kind, { secret: 1 }, 'usr_1')));
  const broken = await until(tenant, ids[1]!.job_id, 'failed').catch(() => undefined);
  for (let i = 0; i < 40 && tries < 3; i += 1) {
    await jobs.resume();
    await sleep(100);
  }
  expect((await until(tenant, ids[0]!.job_id, 'done')).result).toEqual({ tries: 3 });
  expect(JSON.stringify(broken ?? (await view(tenant, ids[1]!.job_id)))).not.toContain('hunter2');
  expect((await until(tenant, ids[1]!.job_id, 'failed')).problem).toMatchObject({ status: 500 });
  expect((await until(tenant, ids[2]!.job_id, 'failed')).problem).toMatchObject({
    status: 409,
    detail: 'This is the last owner.',
  });
}, 20_000);

test('jobs that ended a month ago are swept', async () => {
  const tenant = await makeTenant();
  const [old, young] = [await startJob(tenant, 'x', {}, 'usr_1'), await startJob(tenant, 'x', {}, 'usr_1')];
  const finish = (job_id: string, days: number) =>
    tenant.write((db) =>
      db.run(`update jobs set state = 'done', finished_at = now() - interval '1 day' * $2 where job_id = $1`, [job_id, days]),
    );
  await finish(old.job_id, 31);
  await finish(young.job_id, 29);
  expect(await sweepJobs(tenant, 100)).toBe(1);
  expect((await view(tenant, young.job_id))?.state).toBe('done');
});
