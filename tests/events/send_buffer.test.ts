import type { ServerResponse } from 'node:http';
import { type BufferSize, createSendBuffer, type Piece } from '../../src/follow/send_buffer.ts';

// A buffer with a client that takes a piece only when the test says so.

const MIB = 1024 * 1024;
const total = { bytes: 0 };
beforeEach(() => {
  total.bytes = 0;
  jest.useFakeTimers({ doNotFake: ['nextTick'] });
});
afterEach(() => void jest.useRealTimers());

const piece = (upto: number, events = 1, bytes = 100): Piece => ({
  upto,
  bytes: Buffer.alloc(bytes),
  types: Array.from({ length: events }, () => 'event'),
});

function opened(limits: BufferSize, batch: BufferSize = { events: 1, bytes: 100 }) {
  const taken: (() => void)[] = [];
  const res = { write: (_bytes: Buffer, done: () => void) => taken.push(done) } as unknown as ServerResponse;
  let sent = 0;
  const onSent = (types: string[]) => {
    sent += types.length;
  };
  const buffer = createSendBuffer(res, 0, { limits, batch, total, onSent });
  return { buffer, take: () => taken.shift()!(), sentEvents: () => sent };
}
/** Returns the answer of `waitForRoom`, or `waits` if it does not answer now. */
const answerOf = (waiting: Promise<boolean>) =>
  Promise.race([waiting, new Promise<string>((resolve) => process.nextTick(resolve, 'waits'))]);

test('one piece at a time is handed over, and `sent` is the last seq that was', () => {
  const { buffer, take, sentEvents } = opened({ events: 100, bytes: MIB });
  buffer.push([piece(1), piece(2, 3)], 9);
  expect([buffer.sent(), buffer.isIdle(), sentEvents()]).toEqual([1, false, 1]);
  take();
  expect([buffer.sent(), buffer.isIdle(), sentEvents()]).toEqual([9, false, 4]);
  take();
  expect([buffer.isIdle(), total.bytes]).toEqual([true, 0]);
});

test('a part of the log without messages advances the position of the last queued piece, or of an idle buffer at once', () => {
  const { buffer, take } = opened({ events: 100, bytes: MIB });
  buffer.push([], 5);
  expect(buffer.sent()).toBe(5);
  const shared = piece(7);
  buffer.push([piece(6), shared], 7);
  buffer.push([], 20);
  expect([buffer.sent(), shared.upto]).toEqual([6, 7]);
  take();
  expect(buffer.sent()).toBe(20);
});

test.each([
  ['events', { events: 3, bytes: MIB }],
  ['bytes', { events: 100, bytes: 300 }],
])('a buffer that is full by its %s has room again once the client has taken a piece', async (_what, limits) => {
  const { buffer, take } = opened(limits);
  for (let seq = 1; seq <= 3; seq += 1) {
    expect(await answerOf(buffer.waitForRoom())).toBe(true);
    buffer.push([piece(seq)], seq);
  }
  const room = buffer.waitForRoom();
  expect(await answerOf(room)).toBe('waits');
  take();
  expect(await room).toBe(true);
});

test('a client that takes a piece every 4 s is not too slow, one that takes nothing for 5 s is', async () => {
  const { buffer, take } = opened({ events: 2, bytes: MIB }, { events: 2, bytes: 100 });
  buffer.push([piece(1), piece(2), piece(3)], 3);
  const room = buffer.waitForRoom();
  for (let i = 0; i < 2; i += 1) {
    await jest.advanceTimersByTimeAsync(4_000);
    take();
  }
  expect(await answerOf(room)).toBe('waits');
  await jest.advanceTimersByTimeAsync(4_999);
  expect(await answerOf(room)).toBe('waits');
  await jest.advanceTimersByTimeAsync(1);
  expect(await room).toBe(false);
});

test('closing discards what was not handed over, frees the memory and wakes the stream', async () => {
  const { buffer, take } = opened({ events: 1, bytes: MIB });
  buffer.push([piece(1), piece(2, 4), piece(3, 5)], 3);
  const room = buffer.waitForRoom();
  expect(buffer.close()).toBe(9);
  expect([await room, total.bytes, buffer.sent(), buffer.close()]).toEqual([true, 0, 1, 0]);
  take();
  expect(total.bytes).toBe(0);
});

test('when all buffers together hold 128 MiB, a stream has room only when its client has taken everything', async () => {
  const [slow, other] = [opened({ events: 1000, bytes: 1024 * MIB }), opened({ events: 1000, bytes: 1024 * MIB })];
  slow.buffer.push([piece(1, 1, 128 * MIB)], 1);
  expect(await answerOf(other.buffer.waitForRoom())).toBe(true);
  other.buffer.push([piece(1)], 1);
  const room = other.buffer.waitForRoom();
  expect(await answerOf(room)).toBe('waits');
  other.take();
  expect(await room).toBe(true);
  other.buffer.push([piece(2)], 2);
  slow.buffer.close();
  expect(await answerOf(other.buffer.waitForRoom())).toBe(true);
});
