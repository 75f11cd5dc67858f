import { connect } from 'node:net';

// The process of tests/support/flood.ts: sends requests over raw keep-alive sockets, at a fixed rate or, without a rate, with one request in
// flight per socket. It takes about 20 µs of CPU per request.

const TICK_MS = 5;
const GIVE_UP_MS = 15_000;

process.on('message', (flood) => void run(flood).then((result) => process.send(result)));
process.on('disconnect', () => process.exit(0));

async function run({ url, rate, seconds, requests, sockets }) {
  const { hostname, port } = new URL(url);
  const templates = requests.map((text) => Buffer.from(text));
  const idle = [];
  const open = new Set();
  /** Latencies in ms, by outcome. */
  const took = {};
  const note = (outcome, ms) => {
    took[outcome] ??= [];
    took[outcome].push(ms);
  };
  let turn = 0;
  let begun = 0;
  /** Requests that were due while every socket was waiting for a response. */
  let unsent = 0;
  let lasting = true;

  function openSocket() {
    const socket = connect(Number(port), hostname);
    open.add(socket);
    socket.setNoDelay(true);
    let missing = 0;
    let status = '';
    socket.on('data', (chunk) => {
      if (missing > 0) missing -= chunk.length;
      else {
        const end = chunk.indexOf('\r\n\r\n');
        const head = chunk.toString('latin1', 0, end);
        status = head.slice(9, 12);
        missing = end + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0) - chunk.length;
      }
      if (missing > 0) return;
      if (socket.greeted) {
        socket.greeted();
        socket.greeted = undefined;
        idle.push(socket);
        return;
      }
      if (socket.sentAt === undefined) return;
      note(status, performance.now() - socket.sentAt);
      socket.sentAt = undefined;
      idle.push(socket);
      if (rate === undefined && lasting) fire();
    });
    const over = (outcome) => () => {
      open.delete(socket);
      if (socket.sentAt !== undefined) note(outcome, performance.now() - socket.sentAt);
      socket.sentAt = undefined;
      const at = idle.indexOf(socket);
      if (at >= 0) idle.splice(at, 1);
    };
    socket.on('error', over('error'));
    socket.on('close', over('closed'));
    return socket;
  }

  function greet() {
    const socket = openSocket();
    return new Promise((resolve) => {
      socket.once('close', resolve);
      socket.greeted = resolve;
      socket.write('GET /health/live HTTP/1.1\r\nHost: flood\r\n\r\n');
    });
  }

  function fire() {
    const socket = idle.pop() ?? (open.size < sockets ? openSocket() : undefined); // the daemon may have closed a socket
    if (!socket) {
      unsent += 1;
      return;
    }
    begun += 1;
    socket.sentAt = performance.now();
    socket.write(templates[turn++ % templates.length]);
  }

  // Connect before the measurement: node accepts one connection per iteration of its event loop, which would dominate the figures.
  await Promise.all(Array.from({ length: sockets }, greet));
  const started = performance.now();
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - started;
      if (elapsed >= seconds * 1000) {
        clearInterval(timer);
        return resolve();
      }
      const due = rate === undefined ? idle.length : Math.floor((elapsed / 1000) * rate) - begun - unsent;
      for (let i = 0; i < due; i += 1) fire();
    }, TICK_MS);
  });
  lasting = false;
  const counted = (performance.now() - started) / 1000;
  const answered = Object.fromEntries(Object.entries(took).map(([outcome, all]) => [outcome, all.length]));
  for (let waited = 0; idle.length < open.size && waited < GIVE_UP_MS; waited += 50) await new Promise((r) => setTimeout(r, 50));
  for (const socket of open) {
    if (socket.sentAt !== undefined) note('no answer', performance.now() - socket.sentAt);
    socket.sentAt = undefined;
    socket.destroy();
  }
  // `answered` counts responses until the end of the flood; `took` includes later ones.
  return { seconds: counted, offered: (begun + unsent) / counted, unsent, answered, took };
}
