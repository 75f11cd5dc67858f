import { once } from 'node:events';
import { request } from 'node:http';
import { openBuffer, openCountedBuffer } from '../../src/http/body_buffer.ts';
import { newTenant } from '../support/client.ts';
import { spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

const MIB = 1024 * 1024;

/** Heap limit that a daemon exceeds if it keeps a hundred bytes for each of a million parts. */
const HEAP_MB = 128;

test('a body in parts of one byte does not use a hundred times its size', async () => {
  const database = await daemonDatabase();
  const daemon = await spawnDaemon(database.env, {
    REQUEST_TIMEOUT_MS: '120000',
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}`,
  });
  try {
    const alice = await newTenant(daemon.url);
    const sent = request(`${daemon.url}/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${alice.token}`,
        'content-type': 'application/json',
        'transfer-encoding': 'chunked',
      },
    });
    sent.flushHeaders();
    const [socket] = await once(sent, 'socket');
    if (socket.connecting) await once(socket, 'connect');
    const body = Buffer.from('1\r\n \r\n'.repeat(64 * 1024));
    for (let i = 0; i < 16; i += 1) if (!socket.write(body)) await once(socket, 'drain');
    const answered = once(sent, 'response');
    socket.write('2\r\n{}\r\n0\r\n\r\n');
    // the whole body was read
    expect((await answered)[0].statusCode).toBe(422);
  } finally {
    await daemon.kill('SIGTERM');
    await database.release();
  }
});

describe('a buffer', () => {
  test.each([
    ['bytes', [1, 1, 1, 1, 1]],
    ['large and small in turn', [1, 5000, 1, 70_000, 3, 4096, 4095, 1, 300_000, 2, 2]],
    ['one', [10]],
    ['nothing', []],
  ])('returns the bytes that were added: %s', (_, sizes) => {
    const gather = openBuffer();
    const parts = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    for (const part of parts) gather.add(part);
    expect(gather.size).toBe(Buffer.concat(parts).length);
    expect(gather.join().equals(Buffer.concat(parts))).toBe(true);
    gather.add(Buffer.from('more'));
    expect(gather.join().subarray(-4).toString()).toBe('more');
  });

  test('counts towards the limit until it is cleared, and rejects bytes beyond the limit', () => {
    const budget = { bytes: 0, max: MIB, byTenant: new Map() };
    const [one, other] = [openCountedBuffer(budget), openCountedBuffer(budget)];
    for (let i = 0; i < 600 * 1024; i += 1024) one.add(Buffer.alloc(1024));
    other.add(Buffer.alloc(400 * 1024));
    expect(() => other.add(Buffer.alloc(100 * 1024))).toThrow(expect.objectContaining({ type: 'unavailable' }));
    expect(budget.bytes).toBe(1000 * 1024);
    one.clear();
    other.clear();
    expect(budget.bytes).toBe(0);
  });
});
