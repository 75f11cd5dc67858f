import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Problem } from '../../src/http/problem.ts';
import { createLogger } from '../../src/log.ts';
import { openWorkers, type Workers } from '../../src/work/index.ts';

const entry = join(import.meta.dirname, 'fixture.ts');
const opened: Workers[] = [];
afterEach(async () => {
  for (const workers of opened.splice(0)) await workers.stop();
});

const open = (size: number, maxQueued = 100) => {
  const workers = openWorkers({ entry, size, maxQueued, heap_mib: 64 });
  opened.push(workers);
  return workers;
};
const run = (workers: Workers, tenant: string, task: string, input: unknown = null, signal = new AbortController().signal) =>
  workers.run<unknown>({ tenant, task, input, signal });

/** Shared memory on which jobs wait until `release`. `begun` waits until `count` jobs have started. */
function gate() {
  const memory = new SharedArrayBuffer(8);
  const state = new Int32Array(memory);
  return {
    memory,
    begun: async (count: number) => {
      while (Atomics.load(state, 1) < count) await new Promise((resolve) => setTimeout(resolve, 10));
    },
    release: () => {
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
    },
  };
}

test('run returns values, rejects with problems unchanged, and wraps other errors', async () => {
  const workers = open(1);
  expect(await run(workers, 'a', 'echo', { list: [1, 'é'] })).toEqual({ list: [1, 'é'] });
  await expect(run(workers, 'a', 'refused')).rejects.toMatchObject({
    type: 'validation',
    status: 422,
    message: 'no',
    errors: [{ pointer: '#/a', detail: 'b' }],
    headers: { 'Retry-After': '7' },
  });
  await expect(run(workers, 'a', 'broken')).rejects.toThrow(/a worker failed: TypeError: internal detail/);
  expect(await run(workers, 'a', 'echo', 1)).toBe(1);
});

test('a database error is logged by its code, without quoted values', async () => {
  const problem = await run(open(1), 'a', 'database').catch((error: unknown) => error as Problem);
  expect(problem).toMatchObject({ type: 'validation', status: 422 });
  const stream = new PassThrough();
  createLogger('info', undefined, stream).info({ err: (problem as Problem).cause }, 'refused');
  const line = String(stream.read());
  expect(JSON.parse(line).err).toMatchObject({ message: 'database error 22P02', code: '22P02', table: 'events' });
  expect(line).not.toMatch(/walnut|cake/);
});

test('a problem with any cause is returned, and input that cannot be cloned fails only its job', async () => {
  const workers = open(1);
  await expect(run(workers, 'a', 'causedByCode')).rejects.toMatchObject({
    type: 'internal',
    cause: expect.stringContaining('cloned'),
  });
  await expect(run(workers, 'a', 'echo', () => 1)).rejects.toThrow('could not be cloned');
  expect(await run(workers, 'a', 'echo', 1)).toBe(1);
  expect(workers.figures()).toEqual({ waiting: 0, running: 0 });
});

test('stop rejects running and waiting jobs with 503 and starts no more', async () => {
  const workers = open(1);
  const { memory, begun } = gate();
  const jobs = [run(workers, 'a', 'held', memory)];
  await begun(1);
  jobs.push(run(workers, 'a', 'echo'));
  const ended = Promise.allSettled(jobs);
  await workers.stop();
  jobs.push(run(workers, 'a', 'echo'));
  for (const outcome of [...(await ended), ...(await Promise.allSettled(jobs.slice(2)))])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { type: 'unavailable' } });
});

test('transferred bytes are moved, not copied', async () => {
  const bytes = new Uint8Array(100_000).fill(7);
  const answer = open(1).run<Uint8Array>({
    tenant: 'a',
    task: 'echo',
    input: bytes,
    transfer: [bytes.buffer],
    signal: new AbortController().signal,
  });
  expect(bytes.byteLength).toBe(0);
  expect((await answer).every((byte) => byte === 7)).toBe(true);
});

test('aborting a job ends its thread, and other jobs run', async () => {
  const workers = open(2);
  const aborted = new AbortController();
  const endless = run(workers, 'hostile', 'endless', null, aborted.signal);
  expect(await run(workers, 'other', 'echo', 1)).toBe(1);
  aborted.abort(new Error('too late'));
  await expect(endless).rejects.toThrow('too late');
  expect(await run(workers, 'hostile', 'echo', 2)).toBe(2);
  expect(workers.figures()).toEqual({ waiting: 0, running: 0 });
});

test('a cooperative job is notified of its abort and keeps its tenant’s slot until it ends', async () => {
  const workers = open(2);
  const { memory, begun, release } = gate();
  const aborted = new AbortController();
  const job = { tenant: 'a', task: 'heeding', input: memory, cancellable: true };
  const heeding = workers.run({ ...job, signal: aborted.signal });
  await begun(1);
  aborted.abort(new Error('too late'));
  await expect(heeding).rejects.toThrow('too late');
  // it was notified and has not ended yet
  await begun(2);
  const next = run(workers, 'a', 'echo', 1);
  expect(workers.figures()).toEqual({ waiting: 1, running: 1 });
  expect(await run(workers, 'b', 'echo', 2)).toBe(2);
  release();
  expect(await next).toBe(1);
});

test('a job that is aborted while it waits never runs', async () => {
  const workers = open(1);
  const { memory, begun, release } = gate();
  const first = run(workers, 'a', 'held', memory);
  await begun(1);
  const aborted = new AbortController();
  const second = run(workers, 'a', 'held', memory, aborted.signal);
  aborted.abort(new Error('too late'));
  await expect(second).rejects.toThrow('too late');
  release();
  expect(await first).toBe('released');
  expect(await run(workers, 'a', 'echo', 1)).toBe(1);
  await begun(1);
});

test('one tenant cannot occupy all threads', async () => {
  const workers = open(2);
  const { memory, begun, release } = gate();
  const all = Array.from({ length: 10 }, () => run(workers, 'busy', 'held', memory));
  await begun(1);
  expect(workers.figures()).toEqual({ waiting: 9, running: 1 });
  expect(await run(workers, 'quiet', 'echo', 1)).toBe(1);
  release();
  await Promise.all(all);
});

test('tenants take turns: a tenant’s first job waits for at most one job of each other tenant', async () => {
  const workers = open(1);
  const { memory, begun, release } = gate();
  const order: string[] = [];
  const note = (name: string) => () => void order.push(name);
  const first = run(workers, 'busy', 'held', memory);
  await begun(1);
  const rest = ['busy', 'busy', 'busy', 'second', 'second', 'third'].map((tenant) =>
    run(workers, tenant, 'echo').then(note(tenant)),
  );
  release();
  await Promise.all([first, ...rest]);
  expect(order).toEqual(['busy', 'second', 'third', 'busy', 'second', 'busy']);
});

test('a tenant beyond half of the queue gets 429; beyond the whole queue everyone gets 503', async () => {
  const workers = open(1, 4);
  const { memory, begun, release } = gate();
  const first = run(workers, 'busy', 'held', memory);
  await begun(1);
  const waiting = [run(workers, 'busy', 'echo'), run(workers, 'busy', 'echo')];
  await expect(run(workers, 'busy', 'echo')).rejects.toMatchObject({
    status: 429,
    message: expect.stringContaining('WORKERS_QUEUE'),
    headers: { 'Retry-After': '1' },
  });
  waiting.push(run(workers, 'other', 'echo'), run(workers, 'third', 'echo'));
  await expect(run(workers, 'third', 'echo')).rejects.toMatchObject({ status: 503 });
  // a tenant without waiting jobs is still accepted
  waiting.push(run(workers, 'fourth', 'echo'));
  release();
  await Promise.all([first, ...waiting]);
});

test('a thread that exits fails only its job; out of memory returns 413, or 503 for a read', async () => {
  const workers = open(1);
  await expect(run(workers, 'a', 'gone')).rejects.toThrow('a worker ended with code 3');
  await expect(run(workers, 'a', 'hungry')).rejects.toMatchObject({ status: 413 });
  const { signal } = new AbortController();
  await expect(workers.run({ tenant: 'a', task: 'hungry', input: null, signal, cancellable: true })).rejects.toMatchObject({
    status: 503,
  });
  expect(await run(workers, 'a', 'echo', 1)).toBe(1);
});
