import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newTenant, send } from '../../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWith, findTool } from '../../support/tool.ts';

const config = join(import.meta.dirname, '../../../monitoring/logs/syslog-ng.conf');

/** A replacement for Elasticsearch: accepts _bulk requests, or fails on request. */
async function startSearch() {
  const state = { failing: false, indices: [] as string[], lines: [] as Record<string, any>[] };
  const server: Server = createServer((req, res) => {
    const parts: Buffer[] = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', () => {
      if (state.failing || req.url !== '/_bulk') return res.writeHead(503).end();
      const rows = Buffer.concat(parts).toString().trimEnd().split('\n');
      rows.forEach((row, i) => {
        if (i % 2 === 0) state.indices.push(JSON.parse(row).create._index);
        else state.lines.push(JSON.parse(row));
      });
      return res.writeHead(200, { 'content-type': 'application/json' }).end('{"errors":false,"items":[]}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => server.close() };
}

describeWith(['syslog-ng'], 'log shipping', () => {
  let dir: string;
  let daemon: SpawnedDaemon;
  let release: () => Promise<void>;
  let search: Awaited<ReturnType<typeof startSearch>>;
  let shipper: ChildProcess;
  let shipped = 0;

  /** Appends the daemon's new log lines in the format of docker's json-file driver. */
  function write(): string[] {
    const lines = daemon
      .logged()
      .slice(shipped)
      .split(/(?<=\n)/);
    shipped = daemon.logged().length;
    const text = lines
      .filter(Boolean)
      .map((log) => `${JSON.stringify({ log, stream: 'stdout', time: '2026-01-01T00:00:00Z' })}\n`);
    appendFileSync(join(dir, 'containers/c1/c1-json.log'), text.join(''));
    return lines.filter(Boolean);
  }

  function ship(): void {
    const files = ['-f', config, '-R', join(dir, 'state/persist'), '-p', join(dir, 'pid'), '-c', join(dir, 'control')];
    const env = { ...process.env, CONTAINERS: join(dir, 'containers'), STATE: join(dir, 'state'), SEARCH: search.url };
    shipper = spawn(findTool('syslog-ng')!, ['-F', '--no-caps', ...files], { env, stdio: 'ignore' });
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'logs-'));
    mkdirSync(join(dir, 'containers/c1'), { recursive: true });
    mkdirSync(join(dir, 'state'));
    const database = await daemonDatabase();
    release = database.release;
    daemon = await spawnDaemon(database.env, { LOG_LEVEL: 'info' });
    search = await startSearch();
    ship();
  });
  afterAll(async () => {
    shipper?.kill('SIGKILL');
    search?.stop();
    await daemon?.kill('SIGTERM');
    await release?.();
    rmSync(dir, { recursive: true, force: true });
  });

  const shippedOf = (request_id: string) => search.state.lines.filter((line) => line.request_id === request_id);
  const asked = (request_id: string) => send(daemon.url, 'GET', '/nowhere', { headers: { 'x-request-id': request_id } });

  test('a request is found by its id, with typed fields; nothing of other containers arrives', async () => {
    const { tenant_id } = await newTenant(daemon.url);
    await asked('req-first');
    await eventually(() => daemon.logged().includes('req-first'), 'the line of the request');
    appendFileSync(join(dir, 'containers/c1/c1-json.log'), '{"log":"not JSON at all\\n","stream":"stdout"}\n');
    write();
    await eventually(() => shippedOf('req-first').length === 1, 'the line to be shipped', 60_000);
    const [line] = shippedOf('req-first');
    expect(line).toMatchObject({
      level: 'info',
      name: 'agent-memory',
      method: 'GET',
      route: 'unknown',
      status: 404,
      msg: 'request',
    });
    expect([typeof line!.ms, Number.isNaN(Date.parse(line!.time))]).toEqual(['number', false]);
    expect(search.state.indices[0]).toMatch(/^agent-memory-\d{4}\.\d\d\.\d\d$/);
    expect(JSON.stringify(search.state.lines)).not.toContain(tenant_id);
    expect(search.state.lines.every(({ name }) => name === 'agent-memory')).toBe(true);
  });

  test('values that could be credentials or content are redacted, if a line ever contains them', async () => {
    const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl';
    const bad = {
      name: 'agent-memory',
      request_id: 'req-bad',
      password: 'a "quoted" one',
      body: { text: ['pri}vate', { deep: 1 }] },
      msg: `got ${jwt} and amk.acme.key_1.c2VjcmV0`,
    };
    appendFileSync(join(dir, 'containers/c1/c1-json.log'), `${JSON.stringify({ log: `${JSON.stringify(bad)}\n` })}\n`);
    await eventually(() => shippedOf('req-bad').length === 1, 'the line to be shipped', 60_000);
    expect(shippedOf('req-bad')[0]).toEqual({
      ...bad,
      password: '[redacted]',
      body: '[redacted]',
      msg: 'got [redacted] and [redacted]',
    });
  });

  test('no line is lost while the receiver is unreachable, over a rotation, or over a restart', async () => {
    search.state.failing = true;
    for (const id of ['req-away-1', 'req-away-2']) await asked(id);
    await eventually(() => daemon.logged().includes('req-away-2'), 'the lines of the requests');
    write();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    renameSync(join(dir, 'containers/c1/c1-json.log'), join(dir, 'containers/c1/c1-json.log.1'));
    await asked('req-rotated');
    await eventually(() => daemon.logged().includes('req-rotated'), 'the line of the request');
    write();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const exited = once(shipper, 'exit');
    shipper.kill('SIGTERM');
    await exited;
    await asked('req-stopped');
    await eventually(() => daemon.logged().includes('req-stopped'), 'the line of the request');
    write();
    search.state.failing = false;
    ship();
    for (const id of ['req-away-1', 'req-away-2', 'req-rotated', 'req-stopped'])
      await eventually(() => shippedOf(id).length >= 1, `${id} to be shipped`, 90_000);
  });
});
