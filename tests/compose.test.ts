import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { secretSettings } from '../src/settings.ts';

// What must hold of every service of docker-compose.prod.yml, whoever adds one. scripts/check-compose.sh runs it.

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

test.each(all)('%s has no privilege, bounds for what it uses, and a bound for its log', (_name, service) => {
  expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
  for (const limit of ['mem_limit', 'cpus', 'pids_limit']) expect(service[limit]).toBeDefined();
  expect(service.logging?.options).toHaveProperty('max-size');
});

test('only nginx takes calls from outside', () => {
  const outside = all.flatMap(([name, { ports = [] }]) =>
    ports.filter((port) => !port.startsWith('127.0.0.1:')).map((port) => `${name} ${port.split(':').at(-1)}`),
  );
  expect(outside).toEqual(['nginx 80', 'nginx 443']);
});

test('the secrets of the daemons are not in the environment of the database', () => {
  const { environment = {} } = services.postgres!;
  const own = ['PGPASSWORD', 'POSTGRES_PASSWORD'];
  expect(secretSettings.filter((name) => !own.includes(name) && environment[name] !== '')).toEqual([]);
});

// docker-compose 1.29 recreates with `--force-recreate memory-daemon` all that it depends on
test('a daemon that is recreated takes only the migrations with it', () => {
  const dependencies = (name: string): string[] => {
    const { depends_on = [] } = services[name]!;
    const direct = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on);
    return direct.flatMap((other) => [other, ...dependencies(other)]);
  };
  expect(dependencies('memory-daemon')).toEqual(['migrate']);
  expect(dependencies('memory-daemon-2')).toEqual(['migrate']);
});

test('the two daemons are the same but for the build', () => {
  const { build: _, ...first } = services['memory-daemon']!;
  expect(services['memory-daemon-2']).toEqual(first);
});

test('what is mounted from here is here', () => {
  const made = ['./nginx/ssl', './nginx/acme'];
  const mounted = all.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
  const missing = mounted.filter((path) => path.startsWith('./') && !made.includes(path) && !existsSync(join(root, path)));
  expect(missing).toEqual([]);
});
