import { once } from 'node:events';
import { request } from 'node:http';
import { openBuffer, openCountedBuffer } from '../../src/http/body_buffer.ts';
import { newTenant } from '../support/client.ts';
import { spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

const MIB = 1024 * 1024;

/** A daemon that keeps a hundred bytes for each part of a million does not live in it. */
const HEAP_MB = 128;

test('a body in parts of one byte takes no hundred times its size', async () => {
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
    // all of it was read
    expect((await answered)[0].statusCode).toBe(422);
  } finally {
    await daemon.kill('SIGTERM');
    await database.release();
  }
});

describe('what is gathered', () => {
  test.each([
    ['bytes', [1, 1, 1, 1, 1]],
    ['large and small in turn', [1, 5000, 1, 70_000, 3, 4096, 4095, 1, 300_000, 2, 2]],
    ['one', [10]],
    ['nothing', []],
  ])('comes back as it came: %s', (_, sizes) => {
    const gather = openBuffer();
    const parts = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    for (const part of parts) gather.add(part);
    expect(gather.size).toBe(Buffer.concat(parts).length);
    expect(gather.join().equals(Buffer.concat(parts))).toBe(true);
    gather.add(Buffer.from('more'));
    expect(gather.join().subarray(-4).toString()).toBe('more');
  });

  test('is counted until it is cleared, and refused where too much is held', () => {
    const held = { bytes: 0, max: MIB, byTenant: new Map() };
    const [one, other] = [openCountedBuffer(held), openCountedBuffer(held)];
    for (let i = 0; i < 600 * 1024; i += 1024) one.add(Buffer.alloc(1024));
    other.add(Buffer.alloc(400 * 1024));
    expect(() => other.add(Buffer.alloc(100 * 1024))).toThrow(expect.objectContaining({ type: 'unavailable' }));
    expect(held.bytes).toBe(1000 * 1024);
    one.clear();
    other.clear();
    expect(held.bytes).toBe(0);
  });
});
