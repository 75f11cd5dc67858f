import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { linesOf } from '../../src/export/lines.ts';
import { openSlots } from '../../src/export/slots.ts';

// A slow client cannot keep others from exporting or importing.

const limits = {
  maxLine: 1000,
  maxBytes: 1e6,
  idle_ms: 400,
  slowest: { bytes: 2_000, ms: 500 },
  bytesInFlight: { bytes: 0, max: 1e6, byTenant: new Map() },
};

async function read(body: PassThrough, work = async () => {}): Promise<number> {
  let count = 0;
  for await (const _ of linesOf(body as unknown as IncomingMessage, undefined, limits, () => false)) {
    count += 1;
    await work();
  }
  return count;
}

async function send(body: PassThrough, text: string, times: number, every_ms: number): Promise<void> {
  for (let i = 0; i < times && !body.destroyed; i += 1) {
    body.write(text);
    await sleep(every_ms);
  }
  body.end();
}

test('a body below the minimum throughput is aborted, during its first line and later', async () => {
  const [without, slow] = [new PassThrough(), new PassThrough()];
  const sending = [send(without, 'a', 40, 50), send(slow, 'a\n', 40, 50)];
  await expect(read(without)).rejects.toMatchObject({ type: 'timeout', message: expect.stringContaining('first line') });
  await expect(read(slow)).rejects.toMatchObject({ type: 'timeout', message: expect.stringContaining('bytes arrived') });
  await Promise.all(sending);
  expect(limits.bytesInFlight.bytes).toBe(0);
});

test('a body that is fast enough is read completely, and so is one that waits for a slow reader', async () => {
  const [fast, held] = [new PassThrough(), new PassThrough()];
  const sending = [send(fast, `${'x'.repeat(499)}\n`, 30, 50), send(held, 'a\n', 10, 0)];
  expect(await read(fast)).toBe(30);
  expect(await read(held, () => sleep(100))).toBe(10);
  await Promise.all(sending);
});

describe('slots', () => {
  const socketOf = () => {
    const socket = { bytesRead: 0, bytesWritten: 0, destroyed: false, destroy: () => Object.assign(socket, { destroyed: true }) };
    return socket;
  };
  const request = (tenant_id: string, admin: boolean, socket = socketOf()) => ({
    tenant_id,
    admin,
    socket: socket as unknown as Socket,
  });
  const forEver = () => new Promise<never>(() => {});
  const eviction = { after_ms: 100, bytes_s: 1000 };

  test('members and admins have separate slots, and a tenant can occupy one of each', async () => {
    const take = openSlots({ parallel: 2, eviction: { after_ms: 60_000, bytes_s: 1000 } });
    for (const tenant of ['a', 'b']) void take(request(tenant, false), forEver);
    await expect(take(request('c', false), forEver)).rejects.toMatchObject({ type: 'rate-limited' });
    expect(await take(request('a', true), async () => 'taken')).toBe('taken');
    void take(request('a', true), forEver);
    await expect(take(request('a', true), forEver)).rejects.toMatchObject({ type: 'rate-limited' });
  });

  test('the slowest transfer is evicted for a new one; a fast one is not', async () => {
    const take = openSlots({ parallel: 2, eviction });
    const [slow, fast] = [socketOf(), socketOf()];
    void take(request('a', true, slow), forEver);
    void take(request('b', true, fast), forEver);
    await expect(take(request('c', true), forEver)).rejects.toMatchObject({ type: 'rate-limited' });
    await sleep(150);
    fast.bytesWritten = 1e6;
    expect(await take(request('c', true), async () => 'taken')).toBe('taken');
    expect([slow.destroyed, fast.destroyed]).toEqual([true, false]);
  });
});
