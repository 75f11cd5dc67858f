import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { freePort, type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';
import { type Block, blocksOf, pages, read, root } from '../support/pages.ts';

// Types the commands of every page as a reader would: `sh` blocks in one shell, `ts` and `python` blocks saved under the name in their
// first line. A new page is covered without a new test.

/** Pages with `console` blocks, whose commands need what a test of a page cannot start, and what executes them instead. */
const executedElsewhere: Record<string, string> = {
  'docs/audit.md': 'run beside the daemon on its database: tests/audit',
  'docs/backup.md': 'need PostgreSQL’s client programs: tests/operations/backup',
  'docs/capabilities.md': 'run beside the daemon on its database: tests/capabilities',
  'docs/compat.md': 'need a daemon with COMPAT_TENANT: tests/compat',
  'docs/compose.md': 'need docker: scripts/check-compose.sh',
  'docs/deployment.md': 'need docker: scripts/check-compose.sh, tests/operations',
  'docs/embeddings.md': 'need a model server: tests/embeddings',
  'docs/eval.md': 'run the commands of the repository: tests/eval',
  'docs/faults.md': 'run the fault tests themselves: .ci/long',
  'docs/hardening.md': 'change the firewall and services of the machine',
  'docs/how-to/back-up-and-restore.md': 'need PostgreSQL’s client programs: tests/operations/backup',
  'docs/how-to/move-to-postgresql.md': 'start a daemon on a PostgreSQL server; the test starts a second daemon instead',
  'docs/how-to/run-behind-nginx.md': 'need nginx: tests/operations/nginx',
  'docs/how-to/run-one-container.md': 'need docker: scripts/check-compose.sh',
  'docs/how-to/upgrade.md': 'need docker and an earlier release: tests/operations/upgrade',
  'docs/kubernetes.md': 'need a cluster: scripts/check-kubernetes.sh, tests/operations/kubernetes',
  'docs/load.md': 'need k6: tests/operations/load',
  'docs/monitoring.md': 'need Prometheus and Grafana: tests/operations/monitoring',
  'docs/operations.md': 'stop, migrate and change the installation: tests/scripts',
  'docs/pgbouncer.md': 'need pgbouncer: tests/operations/faults/pgbouncer.test.ts',
  'docs/postgresql.md': 'need a PostgreSQL server of their own: tests/operations/postgresql',
  'docs/tls.md': 'need nginx, certbot and openssl: tests/operations/nginx',
  'docs/troubleshooting.md': 'need the broken installations that they repair: tests/operations/doctor',
  'docs/upgrades.md': 'need docker and an earlier release: tests/operations/upgrade',
};

const hasPython = spawnSync('python3', ['--version']).status === 0;
const needsPython = ({ language, text }: Block) => language === 'sh' && /^python3 /m.test(text);
const commandsOf = (page: string) =>
  blocksOf(read(page)).filter((block) => block.language === 'sh' && (hasPython || !needsPython(block)));
const executed = pages.filter((page) => commandsOf(page).length > 0);
/** Registers and logs in, as pages expect. */
const walkThrough = blocksOf(read('README.md'))
  .filter(({ language }) => language === 'sh')
  .slice(2)
  .map(({ text }) => text);

const daemons: SpawnedDaemon[] = [];
const releases: (() => Promise<void>)[] = [];
async function startDaemon(): Promise<SpawnedDaemon> {
  const database = await daemonDatabase();
  releases.push(database.release);
  // a thread that answers a context takes long to start on a crowded machine
  const daemon = await spawnDaemon(database.env, { REQUEST_TIMEOUT_MS: '240000' });
  daemons.push(daemon);
  return daemon;
}
let daemon: SpawnedDaemon;
beforeAll(async () => {
  daemon = await startDaemon();
}, 300_000);
afterAll(async () => {
  for (const started of daemons) await started.kill('SIGTERM');
  for (const release of releases) await release();
});

// .mts: a .ts file with top-level await fails in the package of CommonJS that `npm init` makes
const programName = (text: string) => /^(?:\/\/|#) (\w+\.(?:mts|py))$/m.exec(text.slice(0, text.indexOf('\n')))?.[1];

/** Makes an empty directory with the programs of the page, in which this package and tools of this repository such as tsx are found. */
function directoryFor(page: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'page-'));
  const modules = join(directory, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(root, 'node_modules'))) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  symlinkSync(root, join(modules, 'agent-memory'));
  writeFileSync(join(directory, 'package.json'), '{"type": "commonjs"}');
  for (const { language, text } of blocksOf(read(page)))
    if (['ts', 'python'].includes(language)) writeFileSync(join(directory, programName(text)!), text);
  return directory;
}

/** Runs the commands in one shell in the directory, against these hosts; returns what they print. */
async function type(commands: string[], directory: string, hosts: Record<string, string>, tenant: string): Promise<string> {
  let script = ['set -euo pipefail', commands.join('\necho\n')].join('\n').replaceAll(/acme(?!\.example)/g, tenant);
  for (const [written, host] of Object.entries(hosts)) script = script.replaceAll(written, host);
  const env = { PATH: process.env.PATH, HOME: directory, RECEIVER_PORT: String(await freePort()) };
  const shell = spawn('bash', ['-c', script], { cwd: directory, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [shell.stdout, shell.stderr])
    stream.on('data', (part) => {
      output += part;
    });
  const [code] = await once(shell, 'exit');
  // what the page left in the background
  try {
    process.kill(-shell.pid!, 'SIGKILL');
  } catch (error) {
    // ESRCH: nothing was left
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  if (code !== 0) throw new Error(`exit ${code}\n${script}\n${output}`);
  return output;
}

/** Removes what differs from run to run: ids, times, and the tenant in which the page is tried. */
const normalized = (text: string) => text.replaceAll(/_[0-9a-z]{26}/g, '_…').replaceAll(/\d{4}-\d\d-\d\d(T[\d:.]+Z)?/g, 'then');

/** Returns what the page shows as output of its commands: of JSON the members with words, true, false or an empty list; of text the lines. */
function shownBy(page: string): string[] {
  const markdown = read(page);
  const blocks = blocksOf(markdown);
  return commandsOf(page).flatMap((command) => {
    const next = blocks.find(({ start }) => start > command.end);
    if (!next || !['', 'json', 'text'].includes(next.language)) return [];
    if (!/^\n(?:\n|.{1,20}\n){0,4} *$/.test(markdown.slice(command.end, next.start))) return [];
    const text = normalized(next.text);
    if (!/^[[{]/.test(text)) return text.split('\n').filter((line) => line !== '');
    return text.match(/"[a-z_]+":(?:"[A-Za-z][A-Za-z ,.]*"|true|false|\[\])(?=[,}\]])/g) ?? [];
  });
}

test.each(executed)(
  `the commands of %s work as written${hasPython ? '' : ' (except its Python programs: python3 is not installed)'}`,
  async (page) => {
    const commands = commandsOf(page).map(({ text }) => text);
    const hosts: Record<string, string> = { 'localhost:3000': new URL(daemon.url).host };
    if (commands.some((text) => text.includes('localhost:3001')))
      hosts['localhost:3001'] = new URL((await startDaemon()).url).host;
    const directory = directoryFor(page);
    const tenant = `of-${basename(page, '.md')}`;
    try {
      const output = await type([...walkThrough, 'echo THE PAGE', ...commands], directory, hosts, tenant);
      expect(output).not.toContain('/docs/problems#');
      const printed = normalized(output.slice(output.indexOf('THE PAGE')).replaceAll('\\n', '\n').replaceAll(tenant, 'acme'));
      expect(shownBy(page).filter((piece) => !printed.includes(piece))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  300_000,
);

const withPrograms = pages.filter((page) =>
  blocksOf(read(page)).some(({ language }) => language === 'ts' || language === 'python'),
);
test.each(withPrograms)(
  'each program of %s has a name, is run by a command and, in TypeScript, has no type error',
  (page) => {
    const programs = blocksOf(read(page)).filter(({ language }) => language === 'ts' || language === 'python');
    const names = programs.map(({ text }) => programName(text));
    const commands = blocksOf(read(page)).filter(({ language }) => language === 'sh');
    expect(names.filter((name) => !name || !commands.some(({ text }) => text.includes(` ${name}`)))).toEqual([]);
    const sources = names.filter((name) => name!.endsWith('.mts')) as string[];
    if (sources.length === 0) return;
    const directory = directoryFor(page);
    const options = '--noEmit --strict --skipLibCheck --module nodenext --target es2023 --types node'.split(' ');
    const { status, stdout } = spawnSync('node_modules/.bin/tsc', [...options, ...sources], { cwd: directory, encoding: 'utf8' });
    rmSync(directory, { recursive: true });
    expect([stdout, status]).toEqual(['', 0]);
  },
  300_000,
);

test('each page whose commands are executed elsewhere states where', () => {
  const withConsole = pages.filter((page) => blocksOf(read(page)).some(({ language }) => language === 'console'));
  expect(withConsole.filter((page) => !page.startsWith('docs/runbooks/'))).toEqual(Object.keys(executedElsewhere).sort());
});
