import { existsSync, readdirSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { newTenant } from '../../support/client.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, startEdge, until } from './edge.ts';

// Bodies that clients send, and responses that they do not read, use no disk space in nginx.

const MIB = 1024 * 1024;
const CLIENTS = 20;
const SENT = 39 * MIB;

const programs = ['nginx', ...(existsSync('/usr/local/bin/nginx-mainline') ? ['nginx-mainline'] : [])] as const;

describe.each(programs)('%s', (program) => {
  describeWith([program, 'openssl'], 'bodies', () => {
    let edge: Edge;
    beforeAll(async () => {
      edge = await startEdge({
        daemons: 1,
        program: program as 'nginx' | 'nginx-mainline',
        settings: { RATE_LIMIT_ENABLED: 'false' },
      });
    }, 120_000);
    afterAll(() => edge?.stop());

    const onDisk = () =>
      ['client_body', 'proxy'].flatMap((kind) =>
        readdirSync(join(edge.dir, `tmp-${kind}`), { recursive: true, encoding: 'utf8' }),
      );

    function open(from: string): Promise<Socket> {
      return new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: Number(new URL(edge.operator).port), localAddress: from });
        socket.once('connect', () => resolve(socket)).once('error', reject);
      });
    }

    /** Sends most of a body and then stops. */
    async function sendMost(socket: Socket, head: string[], frame: (bytes: Buffer) => void): Promise<void> {
      socket.write([...head, '', ''].join('\r\n'));
      frame(Buffer.alloc(SENT, ' '));
    }

    test.each([
      [
        'with their length',
        (i: number) => [`Content-Length: ${(i % 2 ? 32 : 40) * MIB}`],
        (socket: Socket) => (bytes: Buffer) => socket.write(bytes.subarray(0, 31 * MIB)),
      ],
      [
        'in chunks',
        () => ['Transfer-Encoding: chunked'],
        (socket: Socket) => (bytes: Buffer) => {
          socket.write(`${bytes.length.toString(16)}\r\n`);
          socket.write(bytes);
        },
      ],
    ])(
      'a body sent %s without a credential is rejected before it has arrived, and uses no disk space',
      async (_how, lengthOf, frameOf) => {
        const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => open('127.0.0.13')));
        let refused = 0;
        for (const [i, socket] of sockets.entries()) {
          socket
            .on('error', () => undefined)
            .on('data', (part) => {
              if (part.toString().startsWith('HTTP/1.1 401')) refused += 1;
            });
          const path = i % 2 ? '/v1/artifacts' : '/v1/events';
          const head = [`POST ${path} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', ...lengthOf(i)];
          await sendMost(socket, head, frameOf(socket));
        }
        await until(() => refused === sockets.length, 'all are refused, though none has sent its whole body');
        expect(onDisk()).toEqual([]);
        for (const socket of sockets) socket.destroy();
      },
      60_000,
    );

    test('a body sent by HTTP/2 without a length and a credential is rejected before it has arrived, and uses no disk space', async () => {
      const sessions: ClientHttp2Session[] = [];
      const statuses = Array.from({ length: CLIENTS }, async (_, i) => {
        const session = connectHttp2(edge.https, { ca: edge.ca, localAddress: '127.0.0.14', maxSessionMemory: 100 } as object);
        session.on('error', () => undefined);
        sessions.push(session);
        const headers = {
          ':method': 'POST',
          ':path': i % 2 ? '/v1/artifacts' : '/v1/events',
          'content-type': 'application/json',
        };
        const stream = session.request(headers, { endStream: false });
        stream.on('error', () => undefined);
        stream.write(Buffer.alloc(SENT, ' '));
        return new Promise((resolve) => stream.once('response', (answer) => resolve(answer[':status'])));
      });
      expect(await Promise.all(statuses)).toEqual(statuses.map(() => 401));
      expect(onDisk()).toEqual([]);
      for (const session of sessions) session.destroy();
    }, 60_000);

    test('a body sent by HTTP/2 without a length arrives complete', async () => {
      const owner = await newTenant(edge.daemons[0]!.url);
      const session = connectHttp2(edge.https, { ca: edge.ca });
      const headers = {
        ':method': 'POST',
        ':path': '/v1/events',
        'content-type': 'application/json',
        authorization: `Bearer ${owner.token}`,
      };
      const stream = session.request(headers, { endStream: false });
      const text = `${'a word '.repeat(5_000)}ends`;
      stream.write(JSON.stringify({ text }).slice(0, 10_000));
      stream.end(JSON.stringify({ text }).slice(10_000));
      const answered = await new Promise<number>((resolve) =>
        stream.once('response', (answer) => resolve(Number(answer[':status']))),
      );
      session.close();
      expect(answered).toBe(201);
      const { data } = (await owner.request('GET', '/v1/events')).body;
      expect(data[0].content.text === text).toBe(true);
    });

    test('long responses that the client does not read use no disk space', async () => {
      const owner = await newTenant(edge.daemons[0]!.url);
      const upload = await fetch(`${edge.daemons[0]!.url}/v1/artifacts`, {
        method: 'POST',
        headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/octet-stream' },
        body: Buffer.alloc(20 * MIB, 1),
      });
      const { artifact_id } = (await upload.json()) as { artifact_id: string };
      const sockets = await Promise.all(Array.from({ length: 5 }, () => open('127.0.0.15')));
      let begun = 0;
      for (const socket of sockets) {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          begun += 1;
          socket.pause();
        });
        socket.write(
          `GET /v1/artifacts/${artifact_id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${owner.token}\r\n\r\n`,
        );
      }
      await eventually(() => begun === sockets.length, 'all answers to begin');
      // By the time another request is answered, nginx has received everything that it buffers.
      await owner.request('GET', '/health');
      expect(onDisk()).toEqual([]);
      for (const socket of sockets) socket.destroy();
    }, 60_000);
  });
});
