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

// Clients that take or send a little at a time.

const SIZE = 24 * 1024 * 1024;
const bytes = Buffer.alloc(SIZE, 'x');
const PIECE_MS = 2_500;

/** Serves one request by `work` and asks for it. */
async function serving(work: (res: ServerResponse) => unknown, read: (res: IncomingMessage) => Promise<void>): Promise<void> {
  const server = createServer((_req, res) => void work(res)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const asked = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
    asked.on('error', () => undefined).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    await read(answer);
    asked.destroy();
  } finally {
    close(server);
  }
}

const close = (server: Server) => {
  server.closeAllConnections();
  server.close();
};

/** Some 4 MiB a second. */
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
      const done = await openOutput(res, PIECE_MS)
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
      await endChunked(res, bytes, PIECE_MS);
      return res.writableFinished;
    },
  ],
];

test.each(writers)(
  'a reader of %s that is slow and steady gets all of it',
  async (_, write) => {
    let written: Promise<boolean> | undefined;
    await serving(
      (res) => (written = write(res)),
      async (answer) => expect(await readSteadily(answer)).toBe(SIZE),
    );
    expect(await written).toBe(true);
  },
  60_000,
);

test.each(writers)(
  'a reader of %s that stops is cut off',
  async (_, write) => {
    let written: Promise<boolean> | undefined;
    await serving(
      (res) => (written = write(res)),
      async (answer) => {
        answer.pause();
        expect(await written).toBe(false);
      },
    );
  },
  60_000,
);

test('a body that nobody reads does not keep a connection to the pages open', async () => {
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
    // a byte now and then
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
