import { connect } from 'node:net';
import type { Load, LoadResult } from './load.ts';

// The process of the load generator: keep-alive sockets, requests prepared as bytes, and minimal parsing of responses. It takes about 15 µs of CPU
// per request, which on a small machine the service does not get; a client library takes ten times that.

const MARK = Buffer.from('@@@@@@@@@@@@');
let counter = Date.now() % 1e9;

process.on('message', (load: Load) => {
  void run(load).then((result) => process.send!(result));
});
process.on('disconnect', () => process.exit(0));

interface Template {
  bytes: Buffer;
  /** Offsets at which a unique number of twelve digits is written. */
  marks: number[];
}

async function run(load: Load): Promise<LoadResult> {
  const templates = load.requests.map(prepare);
  const result: LoadResult = { count: 0, seconds: 0, latencies: [], statuses: {} };
  const started = performance.now();
  const { pause_ms = 0, sequence = false } = load;
  const state = { until: started + load.seconds * 1000, templates, result, sequence, pauseMs: pause_ms };
  await Promise.all(Array.from({ length: load.connections }, (_, i) => client(load.urls[i % load.urls.length]!, i, state)));
  result.seconds = (performance.now() - started) / 1000;
  return result;
}

function prepare(text: string): Template {
  const bytes = Buffer.from(text);
  const marks: number[] = [];
  for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + MARK.length)) marks.push(at);
  return { bytes, marks };
}

interface State {
  until: number;
  templates: Template[];
  result: LoadResult;
  sequence: boolean;
  pauseMs: number;
}

function client(url: string, index: number, { until, templates, result, sequence, pauseMs }: State): Promise<void> {
  const { hostname, port } = new URL(url);
  let turn = sequence ? 0 : index * 7919;
  let number = 0;
  let sentAt = 0;
  let missing = 0;
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, send);
    socket.setNoDelay(true);
    socket.on('error', reject);
    socket.on('close', resolve);
    function send() {
      const now = performance.now();
      if (now >= until) return void socket.end();
      sentAt = now;
      const nth = turn++ % templates.length;
      if (nth === 0 || !sequence) number = ++counter;
      socket.write(fill(templates[nth]!, number));
    }
    socket.on('data', (chunk) => {
      if (missing > 0) missing -= chunk.length;
      else missing = begin(chunk, result.statuses);
      if (missing > 0) return;
      result.count += 1;
      result.latencies.push(performance.now() - sentAt);
      if (pauseMs > 0) setTimeout(send, pauseMs);
      else send();
    });
  });
}

function fill({ bytes, marks }: Template, number: number): Buffer {
  if (marks.length === 0) return bytes;
  const copy = Buffer.from(bytes);
  const digits = String(number).padStart(MARK.length, '0');
  for (const at of marks) copy.write(digits, at, 'latin1');
  return copy;
}

/** Counts the status, and returns the number of bytes of the response that are still missing. */
function begin(chunk: Buffer, statuses: Record<string, number>): number {
  const end = chunk.indexOf('\r\n\r\n');
  if (end < 0) throw new Error('the response headers arrived in several chunks');
  const head = chunk.toString('latin1', 0, end);
  const status = head.slice(9, 12);
  statuses[status] = (statuses[status] ?? 0) + 1;
  const at = head.search(/\ncontent-length: /i);
  if (at < 0) throw new Error(`a response without Content-Length: ${head}`);
  return end + 4 + Number.parseInt(head.slice(at + 17), 10) - chunk.length;
}
