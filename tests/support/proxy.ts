import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

// Stands between the daemon and its database and is the network's faults.

export interface FaultProxy {
  port: number;
  /** Each packet waits so long, in both directions. */
  delay(ms: number): void;
  /** Packets vanish, and new connections get no answer: what a pulled cable looks like. */
  drop(): void;
  /** The connections that there are go silent for good, new ones pass: a firewall that lost its table. */
  forget(): void;
  /** Connections end, and new ones are refused. */
  refuse(): Promise<void>;
  /** Ends the connection, with a probability, when a packet holds `mark`: on its way there (`asked`), or what comes after it on its way back, whole or after its first bytes. */
  cut(mark: string, where: 'asked' | 'answered' | 'half answered', probability: number): void;
  /** Everything passes again. Connections whose packets vanished are ended: TCP would have given them up. */
  heal(): Promise<void>;
  /** How many connections were cut. */
  cuts(): number;
  stop(): Promise<void>;
}

interface Faults {
  delay_ms: number;
  /** Connections with a lower number are silent. */
  remembers_from: number;
  dropping: boolean;
  cut: { mark: Buffer; where: 'asked' | 'answered' | 'half answered'; probability: number } | undefined;
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

/** Passes bytes on in both directions, as far as the faults let it. */
function wire({ client, upstream, number }: Pair, faults: Faults, end: () => void): void {
  let doomed: 'answered' | 'half answered' | undefined;
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
      if (cut.where === 'asked') return cutNow();
      doomed = cut.where;
    }
    pass(upstream, bytes);
  });
  upstream.on('data', (bytes) => {
    if (doomed === 'answered') return cutNow();
    if (doomed === 'half answered') {
      doomed = undefined;
      // written, then ended: a reset would take back what the kernel has not sent yet
      return void client.end(bytes.subarray(0, HALF), () => setTimeout(cutNow, 5));
    }
    pass(client, bytes);
  });
}
