import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config.ts';
import { migrateUp } from '../../../src/db/migrate.ts';
import { type DoctorOptions, type Finding, runChecks } from '../../../src/doctor/index.ts';
import { type Cluster, findBinaries, startCluster, withClient } from '../../support/cluster.ts';
import { freePort } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';

// Checks that concern a whole server (roles, settings), or need other programs.

const dir = mkdtempSync(join(tmpdir(), 'agent-memory-doctor-'));
chmodSync(dir, 0o711);
const bin = findBinaries()!;
let cluster: Cluster;
const admin = (sql: string, database = 'postgres') => withClient({ ...cluster.admin, database }, (client) => client.query(sql));

beforeAll(async () => {
  cluster = await startCluster(bin, join(dir, 'cluster'), '-c jit=on');
  await admin('create database agent_memory owner memory');
  await withClient({ ...cluster.admin, ...cluster.owner, database: 'agent_memory' }, (client) =>
    migrateUp(client, undefined, { info: () => undefined, warn: () => undefined }),
  );
}, 60_000);
afterAll(() => {
  const pid = execFileSync('head', ['-1', join(dir, 'cluster/data/postmaster.pid')], { encoding: 'utf8' });
  process.kill(Number(pid), 'SIGQUIT');
  rmSync(dir, { recursive: true, force: true });
});

async function look(env: Record<string, string> = {}, more: Partial<DoctorOptions> = {}): Promise<Finding[]> {
  const at = {
    PGHOST: cluster.admin.host,
    PGPORT: String(cluster.admin.port),
    PGDATABASE: 'agent_memory',
    NODE_ENV: 'test',
    PORT: '0',
  };
  return runChecks(loadConfig({ ...at, DATA_DIR: dir, ...env }), { daemons: 1, certificates: dir, backup_hours: 26, ...more });
}
const about = (findings: Finding[], check: string): string =>
  findings
    .filter((one) => one.check === check)
    .map(({ state, says, next }) => `${state}: ${says}${next ? ` → ${next}` : ''}`)
    .join('\n');

test('a healthy server passes', async () => {
  const findings = await look();
  expect(findings.filter(({ state }) => state === 'failed')).toEqual([]);
  expect(about(findings, 'role')).toMatch(/^ok/);
  expect(about(findings, 'durability')).toMatch(/^ok/);
});

test.each([
  ['superuser', /^failed: agent_memory_app has the attribute superuser.*"alter role agent_memory_app nosuperuser"/],
  ['bypassrls', /^failed: agent_memory_app has the attribute bypassrls.*"alter role agent_memory_app nobypassrls"/],
  ['login', /^failed: agent_memory_app has the attribute login.*"alter role agent_memory_app nologin"/],
])('a serving role with the right %s fails, and the suggested command fixes it', async (right, expected) => {
  await admin(`alter role agent_memory_app ${right}`);
  const findings = about(await look(), 'role');
  expect(findings).toMatch(expected);
  await admin(/"(.*)"/.exec(findings)![1]!);
  expect(about(await look(), 'role')).toMatch(/^ok/);
});

test('a serving role that can assume another role of the service fails', async () => {
  await admin('grant agent_memory_backup to agent_memory_app');
  const findings = about(await look(), 'role');
  expect(findings).toMatch(/^failed: agent_memory_app is a member of the role agent_memory_backup, which sees all tenants/);
  await admin(/"(.*)"/.exec(findings)![1]!);
  expect(about(await look(), 'role')).toMatch(/^ok/);
});

test('a login that cannot assume the serving role fails, and a superuser gives a warning', async () => {
  await admin(
    'create role other login; grant connect on database agent_memory to other; grant select on schema_migrations, schema_functions to other',
    'agent_memory',
  );
  expect(about(await look({ PGUSER: 'other' }), 'role')).toMatch(
    /^failed: the login is not a member.*"grant agent_memory_app to other"/,
  );
  expect(about(await look({ PGUSER: 'postgres' }), 'login')).toMatch(/^warning: postgres is a superuser/);
});

test('server settings that lose acknowledged writes, limit a login, or hide slow statements', async () => {
  await admin(`alter role memory connection limit 30`);
  await admin(`alter role memory set synchronous_commit = off`);
  const findings = await look({ NODE_ENV: 'production', JWT_SECRET: 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj' }, { daemons: 2 });
  await admin('alter role memory connection limit -1');
  await admin('alter role memory reset all');
  expect(about(findings, 'durability')).toMatch(/^failed: synchronous_commit is off/);
  expect(about(findings, 'connections')).toMatch(/^failed: .* there are 30, .*PGPOOL_MAX=11$/);
  expect(about(findings, 'tuning')).toMatch(
    /warning: shared_buffers is the default[\s\S]*warning: slow statements are not logged/,
  );
});

test('a database that cannot store all texts, and one that accepts no writes', async () => {
  await admin(`create database latin owner memory encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
  expect(about(await look({ PGDATABASE: 'latin' }), 'database')).toMatch(
    /^failed: latin has the encoding LATIN1.*createdb -E UTF8/m,
  );
  await admin(`alter database latin set default_transaction_read_only = on`);
  const found = await look({ PGDATABASE: 'latin' });
  expect(about(found, 'database')).toMatch(/^failed: its transactions are read-only.*reset default_transaction_read_only/m);
});

test('a wrong password, and a server without free connections', async () => {
  await admin(`create role guarded login password 'right-and-long-enough'; create role crowded login connection limit 0`);
  const hba = join(dir, 'cluster/data/pg_hba.conf');
  writeFileSync(hba, `host all guarded 127.0.0.1/32 scram-sha-256\n${readFileSync(hba, 'utf8')}`);
  await admin('select pg_reload_conf()');
  const refused = await look({ PGUSER: 'guarded', PGPASSWORD: 'wrong-and-long-enough' });
  expect(about(refused, 'database')).toMatch(/^failed: it rejects the login: .*guarded.*pg_hba.conf/);
  expect(JSON.stringify(refused)).not.toContain('wrong-and-long-enough');
  expect(about(await look({ PGUSER: 'crowded' }), 'database')).toMatch(/^failed: it has no connection left.*pg_stat_activity/);
});

const small = join(dir, 'small');
mkdirSync(small);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', small]).status === 0;
(mounted ? test : test.skip)(`a disk that is nearly full${mounted ? '' : ' (skipped: no right to mount one)'}`, async () => {
  const findings = await look({ DATA_DIR: small }).finally(() => execFileSync('umount', [small]));
  expect(about(findings, 'disk')).toMatch(/^failed: ERASURE_LEDGER .* has 6\d MiB free → df -h /);
});

describeWith(['openssl'], 'certificates', () => {
  const made = (name: string, ...more: string[]) => {
    const place = mkdtempSync(join(dir, 'ssl-'));
    const [key, cert] = [join(place, 'key.pem'), join(place, 'cert.pem')];
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-subj', `/CN=${name}`];
    execFileSync('openssl', [...args, '-addext', `subjectAltName=DNS:${name}`, ...more], { stdio: 'ignore' });
    chmodSync(key, 0o600);
    return place;
  };
  const findingOf = async (certificates: string, host?: string) => about(await look({}, { certificates, host }), 'certificate');

  test('valid, for another name, about to expire, expired, readable by others, for another key, and missing', async () => {
    const sound = made('memory.example', '-days', '90');
    expect(await findingOf(sound, 'memory.example')).toMatch(/^ok: DNS:memory.example, (89|90) days left$/);
    expect(await findingOf(sound, 'other.example')).toMatch(/^failed: .* is for DNS:memory.example, not for other.example/);
    expect(await findingOf(made('memory.example', '-days', '5'))).toMatch(/^warning: .* expires in [45] days.*certbot renew/);
    chmodSync(join(sound, 'key.pem'), 0o644);
    expect(await findingOf(sound)).toMatch(/^failed: .*key.pem is readable by other users → chmod 600/);
    const mixed = made('memory.example');
    execFileSync('openssl', ['genrsa', '-out', join(mixed, 'key.pem'), '2048'], { stdio: 'ignore' });
    expect(await findingOf(mixed)).toMatch(/key.pem does not match the certificate/);
    writeFileSync(join(mixed, 'cert.pem'), 'not a certificate');
    expect(await findingOf(mixed)).toMatch(/^failed: .* is not a readable certificate/);
  });
});

describeWith(['openssl', 'faketime'], 'expired certificates', () => {
  test('an expired one comes with the command to renew it', async () => {
    const place = mkdtempSync(join(dir, 'ssl-'));
    const args = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'key.pem',
      '-out',
      'cert.pem',
      '-subj',
      '/CN=a',
      '-days',
      '3',
    ];
    execFileSync('faketime', ['2020-01-01', 'openssl', ...args], { cwd: place, stdio: 'ignore' });
    chmodSync(join(place, 'key.pem'), 0o600);
    expect(about(await look({}, { certificates: place }), 'certificate')).toMatch(
      /^failed: .*expired on Jan .*2020.*certbot renew/,
    );
  });
});

describeWith(['redis-server'], 'Redis', () => {
  test('one that answers, and one that requires a password', async () => {
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--requirepass', 'the-password'];
    const redis = spawn('redis-server', args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] });
    for await (const part of redis.stdout) if (String(part).includes('Ready to accept')) break;
    const let_in = await look({ REDIS_URL: `redis://:the-password@127.0.0.1:${port}` });
    const kept_out = await look({ REDIS_URL: `redis://127.0.0.1:${port}` });
    redis.kill('SIGKILL');
    expect(about(let_in, 'redis')).toMatch(/^ok: 127.0.0.1:\d+ answers in \d+ ms$/);
    expect(about(kept_out, 'redis')).toMatch(/^failed: .*NOAUTH/);
    expect(JSON.stringify(let_in)).not.toContain('the-password');
  });
});
