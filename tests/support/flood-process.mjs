import { connect } from 'node:net';

// Requests at a rate that does not wait for answers, from raw keep-alive sockets: a process of its own, about 20 µs of CPU a request.

const MAX_SOCKETS = 4000;
const TICK_MS = 5;
const GIVE_UP_MS = 15_000;

process.on('message', (flood) => void run(flood).then((result) => process.send(result)));
process.on('disconnect', () => process.exit(0));

async function run({ url, rate, seconds, requests }) {
  const { hostname, port } = new URL(url);
  const templates = requests.map((text) => Buffer.from(text));
  const idle = [];
  const open = new Set();
  /** outcome → latencies in ms */
  const took = {};
  const note = (outcome, ms) => {
    took[outcome] ??= [];
    took[outcome].push(ms);
  };
  let turn = 0;
  let begun = 0;

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
      if (missing > 0 || socket.sentAt === undefined) return;
      note(status, performance.now() - socket.sentAt);
      socket.sentAt = undefined;
      idle.push(socket);
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

  function fire() {
    begun += 1;
    const socket = idle.pop() ?? (open.size < MAX_SOCKETS ? openSocket() : undefined);
    if (!socket) return note('no socket', 0);
    socket.sentAt = performance.now();
    socket.write(templates[turn++ % templates.length]);
  }

  const started = performance.now();
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - started;
      if (elapsed >= seconds * 1000) {
        clearInterval(timer);
        return resolve();
      }
      for (let due = Math.floor((elapsed / 1000) * rate) - begun; due > 0; due -= 1) fire();
    }, TICK_MS);
  });
  const counted = (performance.now() - started) / 1000;
  const answered = Object.fromEntries(Object.entries(took).map(([outcome, all]) => [outcome, all.length]));
  for (let waited = 0; idle.length < open.size && waited < GIVE_UP_MS; waited += 50) await new Promise((r) => setTimeout(r, 50));
  for (const socket of open) {
    if (socket.sentAt !== undefined) note('no answer', performance.now() - socket.sentAt);
    socket.sentAt = undefined;
    socket.destroy();
  }
  // `answered`: while the flood lasted; `took`: what came after it too
  return { seconds: counted, offered: begun / counted, answered, took };
}
