import { parentPort } from 'node:worker_threads';

// The worker of the daemon, except that bodies with a marker block their thread forever.

type Listener = (order: { input: { bytes?: Uint8Array } }) => void;

const port = parentPort!;
const listen = port.on.bind(port) as (event: string, listener: Listener) => typeof port;
port.on = ((event: string, listener: Listener) =>
  listen(event, (order) => {
    if (order.input.bytes && Buffer.from(order.input.bytes).includes('block this thread forever')) for (;;);
    listener(order);
  })) as typeof port.on;
await import('../../src/worker.ts');
