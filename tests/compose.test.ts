import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { secretSettings } from '../src/settings.ts';

// Rules for every service of docker-compose.prod.yml. scripts/check-compose.sh runs the file on a real engine.

interface Service {
  image: string;
  env_file?: string;
  environment?: Record<string, string>;
  depends_on?: Record<string, unknown> | string[];
  profiles?: string[];
  ports?: string[];
  volumes?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  logging?: { options: Record<string, string> };
  [limit: string]: unknown;
}

const root = join(import.meta.dirname, '..');
const { services } = parse(readFileSync(join(root, 'docker-compose.prod.yml'), 'utf8'), { merge: true }) as {
  services: Record<string, Service>;
};
const all = Object.entries(services);

test.each(all)('%s has no privileges, and limits for its resources and its log', (_name, service) => {
  expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
  for (const limit of ['mem_limit', 'cpus', 'pids_limit']) expect(service[limit]).toBeDefined();
  expect(service.logging?.options).toHaveProperty('max-size');
});

test('only nginx accepts connections from outside', () => {
  const outside = all.flatMap(([name, { ports = [] }]) =>
    ports.filter((port) => !port.startsWith('127.0.0.1:')).map((port) => `${name} ${port.split(':').at(-1)}`),
  );
  expect(outside).toEqual(['nginx 80', 'nginx 443']);
});

test('the environment of the database does not contain the secrets of the daemons', () => {
  const { environment = {} } = services.postgres!;
  const own = ['PGPASSWORD', 'POSTGRES_PASSWORD'];
  expect(secretSettings.filter((name) => !own.includes(name) && environment[name] !== '')).toEqual([]);
});

// `docker-compose up --force-recreate memory-daemon` (1.29) also recreates all dependencies.
test('a daemon depends only on the migrations, so recreating it restarts nothing else', () => {
  const dependencies = (name: string): string[] => {
    const { depends_on = [] } = services[name]!;
    const direct = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on);
    return direct.flatMap((other) => [other, ...dependencies(other)]);
  };
  expect(dependencies('memory-daemon')).toEqual(['migrate']);
  expect(dependencies('memory-daemon-2')).toEqual(['migrate']);
});

test('the two daemons differ only in the build', () => {
  const { build: _, ...first } = services['memory-daemon']!;
  expect(services['memory-daemon-2']).toEqual(first);
});

test('every mounted path of the repository exists', () => {
  const created = ['./nginx/ssl', './nginx/acme'];
  const mounted = all.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
  const missing = mounted.filter((path) => path.startsWith('./') && !created.includes(path) && !existsSync(join(root, path)));
  expect(missing).toEqual([]);
});

test('ADMIN_PORT of the shell reaches the daemons, nginx and Prometheus, and the daemons are in production', () => {
  for (const name of ['memory-daemon', 'memory-daemon-2', 'nginx', 'prometheus'])
    expect([name, services[name]!.environment!.ADMIN_PORT]).toEqual([name, expect.stringMatching(/^\$\{ADMIN_PORT:-\}$/)]);
  for (const name of ['migrate', 'memory-daemon', 'memory-daemon-2'])
    expect(services[name]!.environment).toMatchObject({ NODE_ENV: 'production', ADMIN_HOST: '0.0.0.0' });
});
