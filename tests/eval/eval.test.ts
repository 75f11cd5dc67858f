import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

const root = join(import.meta.dirname, '../..');
const EXAMPLE = 'scripts/eval/example.json';

let daemon: TestDaemon;
let directory: string;
beforeAll(async () => {
  daemon = await startTestDaemon();
  directory = mkdtempSync(join(tmpdir(), 'eval-test-'));
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await daemon.stop();
});

async function run(options: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/eval.ts', ...options], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: directory, ...env },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (part) => {
      output[name] += part;
    });
  const [code] = await once(child, 'close');
  return { code, ...output };
}

const row = (rows: { name: string }[], name: string): any => rows.find((one) => one.name === name);

test('two configurations are compared with BM25, as figures and as a page that loads nothing', async () => {
  const html = join(directory, 'recall.html');
  const compare = JSON.stringify({ name: 'no <hits>', search: { limit: 1 }, settings: { language: 'german' } });
  const options = ['--file', EXAMPLE, '--url', daemon.url, '--compare', compare, '--tokens', '256,512', '--html', html, '--json'];
  const { code, stdout, stderr } = await run(options);
  expect([code, stderr]).toEqual([0, expect.stringContaining('Wrote')]);
  const report = JSON.parse(stdout);
  expect(report.systems).toEqual(['BM25', 'agent-memory', 'no <hits>']);
  expect(report.measures.map(({ name, questions }: any) => [name, questions])).toEqual([
    ...['R@1', 'R@5', 'R@10', 'nDCG@10', 'MRR', 'in 256 tokens', 'in 512 tokens'].map((name) => [name, 17]),
    ['nothing found', 3],
  ]);
  const r10 = row(report.measures, 'R@10');
  expect(r10.values[0]).toBeCloseTo(0.794, 3);
  expect(r10.values[1]).toBeGreaterThan(r10.values[2]);
  expect(r10.difference).toMatchObject({ mean: expect.closeTo(r10.values[2] - r10.values[1], 12), questions: 17 });
  expect(r10.difference.low).toBeLessThanOrEqual(r10.difference.mean);
  expect(row(report.measures, 'in 512 tokens').values[1]).toBeGreaterThan(0.7);
  expect(row(report.categories, 'identifier').values[1]).toBe(1);
  expect(row(report.latencies, 'context p95').values).toEqual([null, expect.any(Number), expect.any(Number)]);
  const page = readFileSync(html, 'utf8');
  expect(page.match(/<svg /g)).toHaveLength(4);
  expect(page).not.toMatch(/https?:|<script|<link|<img|url\(|no <hits>/);
  expect(page).toContain('prefers-color-scheme: dark');
});

test('with an API key, each dialogue belongs to a new user, and the report names the records that remain', async () => {
  const alice = await newTenant(daemon.url);
  const { body } = await alice.request('POST', '/auth/api-keys', {
    body: { name: 'eval', role: 'member', scopes: ['read', 'write'], user_id: '*' },
  });
  const key = (body as { api_key: string }).api_key;
  const { code, stdout, stderr } = await run(['--file', EXAMPLE, '--url', daemon.url, '--tokens', '512'], {
    AGENT_MEMORY_KEY: key,
  });
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^R@10 +17 +79\.4 /m)]);
  const [, prefix] = /users (eval-\w+)-…/.exec(stderr)!;
  const events = await alice.request('GET', `/v1/events?user_id=${prefix}-greenhouse&limit=100`);
  expect((events.body as { data: unknown[] }).data).toHaveLength(12);
  const refused = await run(['--file', EXAMPLE, '--url', daemon.url, '--config', '{"settings": {}}'], { AGENT_MEMORY_KEY: key });
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('would change the tenant of your API key')]);
});

test('a configured URL gets the API key of its configuration, and not that of the command', async () => {
  const keys = new Set<unknown>();
  const server = createServer((req, res) => {
    keys.add(req.headers['x-api-key']);
    res.writeHead(500).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const config of [{ url }, { url, api_key: 'its own' }])
    await run(['--file', EXAMPLE, '--url', daemon.url, '--config', JSON.stringify(config)], {
      AGENT_MEMORY_KEY: 'of the command',
    });
  server.close();
  expect([...keys]).toEqual([undefined, 'its own']);
});

test('the command of the documentation starts an embedded database and prints a table', async () => {
  const { code, stdout, stderr } = await run(['--file', EXAMPLE, '--tokens', '512']);
  expect([code, stderr]).toEqual([0, expect.stringContaining('Starting on an embedded database')]);
  expect(stdout).toMatch(/^measure, % +questions +BM25 +agent-memory +agent-memory − BM25 \(95 % interval\)$/m);
  expect(stdout).toMatch(/^nothing found +3 /m);
});

test.each<[string, unknown, string]>([
  ['a missing member', { dialogues: [{ id: 'a', messages: [] }] }, 'dialogues/0/questions'],
  [
    'evidence that does not exist, and an answerable question without any',
    {
      dialogues: [
        {
          id: 'a',
          messages: [{ id: 'm', actor: 'x', text: 'y' }],
          questions: [
            { query: 'q', evidence: ['n'] },
            { query: 'q', answerable: true },
          ],
        },
      ],
    },
    'answerable if and only if',
  ],
  ['no JSON', '{', 'cannot be read'],
])('a file with %s is refused with the place of the fault', async (_, content, fault) => {
  const file = join(directory, 'faulty.json');
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  const { code, stderr } = await run(['--file', file]);
  expect([code, stderr]).toEqual([1, expect.stringContaining(fault)]);
});

test('a daemon that cannot be reached and a faulty option are reported in a sentence', async () => {
  const down = await run(['--file', EXAMPLE, '--url', 'http://127.0.0.1:1']);
  expect([down.code, down.stderr]).toEqual([1, expect.stringContaining('http://127.0.0.1:1 cannot be reached')]);
  const faulty = await run(['--file', EXAMPLE, '--tokens', '12']);
  expect([faulty.code, faulty.stderr]).toEqual([1, expect.stringContaining('integers from 256')]);
});
