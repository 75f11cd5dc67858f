import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { openOutput } from '../../src/export/output.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { pagesOf } from '../../src/http/pages.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { endChunked } from '../../src/http/write_chunked.ts';

// Clients that read or send slowly.

const SIZE = 24 * 1024 * 1024;
const bytes = Buffer.alloc(SIZE, 'x');
const CHUNK_MS = 2_500;

/** Sends a request to a server that runs `work`, and reads the response with `read`. */
async function withResponse(
  work: (res: ServerResponse) => unknown,
  read: (res: IncomingMessage) => Promise<void>,
): Promise<void> {
  const server = createServer((_req, res) => void work(res)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const req = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
    req.on('error', () => undefined).end();
    const [answer] = (await once(req, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    await read(answer);
    req.destroy();
  } finally {
    close(server);
  }
}

const close = (server: Server) => {
  server.closeAllConnections();
  server.close();
};

/** Reads about 4 MiB/s; returns the number of bytes. */
async function readSteadily(answer: IncomingMessage): Promise<number> {
  let got = 0;
  for await (const part of answer) {
    got += (part as Buffer).length;
    await sleep(((part as Buffer).length / (4 * 1024 * 1024)) * 1000);
  }
  return got;
}

const writers: [string, (res: ServerResponse) => Promise<boolean>][] = [
  [
    'an export',
    async (res) => {
      const done = await openOutput(res, CHUNK_MS)
        .write(bytes)
        .then(
          () => true,
          () => false,
        );
      res.end();
      return done;
    },
  ],
  [
    'an answer',
    async (res) => {
      await endChunked(res, bytes, CHUNK_MS);
      return res.writableFinished;
    },
  ],
];

test.each(writers)(
  'a slow but steady reader of %s gets all bytes',
  async (_, write) => {
    let written: Promise<boolean> | undefined;
    await withResponse(
      (res) => (written = write(res)),
      async (answer) => expect(await readSteadily(answer)).toBe(SIZE),
    );
    expect(await written).toBe(true);
  },
  60_000,
);

test.each(writers)(
  'a reader of %s that stops is disconnected',
  async (_, write) => {
    let written: Promise<boolean> | undefined;
    await withResponse(
      (res) => (written = write(res)),
      async (answer) => {
        answer.pause();
        expect(await written).toBe(false);
      },
    );
  },
  60_000,
);

test('a connection to the pages is closed if a request body trickles in that nobody reads', async () => {
  const app = express();
  pagesOf({} as OpenApi)(app);
  const server = createHttpServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  jest.useFakeTimers({
    doNotFake: ['setInterval', 'setImmediate', 'nextTick', 'queueMicrotask', 'Date', 'performance', 'hrtime', 'clearInterval'],
  });
  try {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
    socket.write('GET /docs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    await once(socket, 'data');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    // a byte from time to time
    for (let i = 0; i < 4; i += 1) {
      socket.write('a');
      await new Promise((resolve) => setImmediate(resolve));
      jest.advanceTimersByTime(10_000);
    }
    await closed;
  } finally {
    jest.useRealTimers();
    close(server);
  }
}, 10_000);
