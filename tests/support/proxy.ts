import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

// A proxy between a daemon and its database that simulates network faults.

export interface FaultProxy {
  port: number;
  /** Delays each packet, in both directions. */
  delay(ms: number): void;
  /** Drops all packets, including those of new connections, like an unplugged cable. */
  drop(): void;
  /** Drops the packets of existing connections for good, but lets new ones pass, like a firewall that lost its state. */
  forget(): void;
  /** Closes all connections and refuses new ones. */
  refuse(): Promise<void>;
  /**
   * Closes a connection, with a probability, if a packet from the client contains `mark`: before the packet is forwarded (`request`), or at the
   * next packet from the server, before it (`response`) or after its first bytes (`partial response`).
   */
  cut(mark: string, where: 'request' | 'response' | 'partial response', probability: number): void;
  /** Ends all faults. Closes connections with dropped packets, which TCP would have given up. */
  heal(): Promise<void>;
  /** Returns the number of connections that were cut. */
  cuts(): number;
  stop(): Promise<void>;
}

interface Faults {
  delay_ms: number;
  /** Connections with a lower number drop all packets. */
  remembers_from: number;
  dropping: boolean;
  cut: { mark: Buffer; where: 'request' | 'response' | 'partial response'; probability: number } | undefined;
  cuts: number;
}

const HALF = 7;

export async function startProxy(target: { host: string; port: number }): Promise<FaultProxy> {
  let made = 0;
  const faults: Faults = { delay_ms: 0, remembers_from: 0, dropping: false, cut: undefined, cuts: 0 };
  const sockets = new Set<Socket>();
  const end = (...pair: Socket[]) => {
    for (const socket of pair) socket.resetAndDestroy();
  };
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        if (!faults.dropping) end(client, upstream);
      });
    }
    wire({ client, upstream, number: made++ }, faults, () => end(client, upstream));
  });
  const port = await listenOn(server, 0);
  const endAll = () => end(...sockets);
  return {
    port,
    delay: (ms) => {
      faults.delay_ms = ms;
    },
    drop: () => {
      faults.dropping = true;
    },
    forget: () => {
      faults.remembers_from = made;
    },
    refuse: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      endAll();
      await closed;
    },
    cut: (mark, where, probability) => {
      faults.cut = { mark: Buffer.from(mark), where, probability };
    },
    heal: async () => {
      if (faults.dropping) endAll();
      Object.assign(faults, { delay_ms: 0, dropping: false, cut: undefined });
      if (!server.listening) await listenOn(server, port);
    },
    cuts: () => faults.cuts,
    stop: async () => {
      endAll();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listenOn(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

interface Pair {
  client: Socket;
  upstream: Socket;
  number: number;
}

/** Forwards bytes in both directions, subject to the faults. */
function wire({ client, upstream, number }: Pair, faults: Faults, end: () => void): void {
  let doomed: 'response' | 'partial response' | undefined;
  const pass = (to: Socket, bytes: Buffer, then: () => void = () => undefined) => {
    const write = () => {
      if (faults.dropping || number < faults.remembers_from || to.destroyed) return;
      to.write(bytes);
      then();
    };
    if (faults.delay_ms > 0) setTimeout(write, faults.delay_ms);
    else write();
  };
  const cutNow = () => {
    faults.cuts += 1;
    end();
  };
  client.on('data', (bytes) => {
    const { cut } = faults;
    if (cut && bytes.includes(cut.mark) && Math.random() < cut.probability) {
      if (cut.where === 'request') return cutNow();
      doomed = cut.where;
    }
    pass(upstream, bytes);
  });
  upstream.on('data', (bytes) => {
    if (doomed === 'response') return cutNow();
    if (doomed === 'partial response') {
      doomed = undefined;
      // Write, then end: a reset would discard what the kernel has not sent yet.
      return void client.end(bytes.subarray(0, HALF), () => setTimeout(cutNow, 5));
    }
    pass(client, bytes);
  });
}
