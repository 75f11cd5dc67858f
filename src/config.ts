import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { withGuideNames } from './guide_settings.ts';
import { redisFaults } from './redis_settings.ts';
import { type Config, secretSettings, settings } from './settings.ts';

// Reads and validates the settings. No other file reads process.env.

export type { Config };

const exampleSecret = /change-?this|change-?me|your-?secret|example|generate-with|<.*>/i;
/** Whether a secret is a placeholder from an example. */
export const isExample = (secret: string): boolean => exampleSecret.test(secret);

/** Connections that must remain for everything except heavy reads. */
const LEAST_FOR_OTHERS = 4;

/** Number of the PGPOOL_MAX connections that are reserved for worker threads. If it is 0, heavy reads run on the event loop. */
export const readersOf = (config: Config): number =>
  usesEmbedded(config) || config.PGPOOL_MAX < config.WORKERS + LEAST_FOR_OTHERS ? 0 : config.WORKERS;

/** Returns all settings, or throws a ConfigError that lists every fault: variable, got, expected. */
export function loadConfig(given: Record<string, string | undefined> = process.env): Config {
  const env = withGuideNames(given);
  const problems: string[] = [];
  const values = Object.fromEntries(Object.keys(settings.shape).map((name) => [name, readSetting(name, env, problems)]));
  if (values.NODE_ENV !== 'production') for (const [name, value] of Object.entries(outsideProduction)) values[name] ??= value;
  const parsed = settings.safeParse(values);
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0]);
    problems.push(`${name}: got ${shown(name, values[name])}, expected ${expectedBy(issue)}`);
  }
  for (const name of jwtSecrets) problems.push(...weakness(name, values));
  if (parsed.success) problems.push(...contradictions(parsed.data));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return Object.freeze(parsed.data);
}

/** Defaults outside production, so high that a first integration does not reach them. */
const outsideProduction = { RATE_LIMIT_MAX_REQUESTS: '6000', RATE_LIMIT_TENANT_MAX: '60000', RATE_LIMIT_AUTH_MAX: '6000' };

const expectedBy = (issue: z.core.$ZodIssue): string =>
  issue.code === 'invalid_value' ? `one of ${issue.values.join(', ')}` : issue.message;

export class ConfigError extends Error {
  constructor(problems: string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}\nEvery setting is described in .env.example.`,
    );
    this.name = 'ConfigError';
  }
}

/** Returns the value of a setting. An empty variable counts as absent, because compose files pass unset variables as empty. */
function readSetting(name: string, env: Record<string, string | undefined>, problems: string[]): string | undefined {
  const file = (secretSettings as readonly string[]).includes(name) ? env[`${name}_FILE`] : undefined;
  const inline = env[name] === '' && name !== 'CORS_ORIGINS' ? undefined : env[name];
  if (!file) return inline;
  try {
    // Compose always mounts a file; if none is configured, it mounts /dev/null.
    if (statSync(file).isCharacterDevice()) return inline;
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    problems.push(
      `${name}_FILE: got ${JSON.stringify(file)}, expected a readable file (${(error as NodeJS.ErrnoException).code})`,
    );
    return undefined;
  }
}

function shown(name: string, value: string | undefined): string {
  if (value === undefined) return 'nothing';
  return (secretSettings as readonly string[]).includes(name) ? 'a value that is not shown' : JSON.stringify(value.slice(0, 80));
}

function contradictions(config: z.output<typeof settings>): string[] {
  const faults: string[] = [];
  for (const name of ['PGPASSWORD', 'POSTGRES_PASSWORD', 'AUDIT_KEY'] as const)
    if (config.NODE_ENV === 'production' && /^<.*>$/.test(config[name] ?? ''))
      faults.push(`${name}: got a placeholder, expected a secret of your own`);
  if (config.NODE_ENV === 'production' && config.BCRYPT_COST < 10)
    faults.push(`BCRYPT_COST: got ${config.BCRYPT_COST}, expected at least 10 in production`);
  if (config.ADMIN_PORT === config.PORT && config.PORT !== 0)
    faults.push(`ADMIN_PORT: got ${config.ADMIN_PORT}, expected another port than PORT`);
  if (config.NODE_ENV === 'production' && config.DEV_MODE) faults.push('DEV_MODE: got true, expected false in production');
  if (config.DEV_MODE && config.COMPAT_TENANT !== undefined) faults.push(...openToOthers(config));
  if (config.IDEMPOTENCY_TTL < 86_400) faults.push(`IDEMPOTENCY_TTL: got ${config.IDEMPOTENCY_TTL} s, expected at least 24h`);
  if (config.PGPOOL_MIN > config.PGPOOL_MAX)
    faults.push(`PGPOOL_MIN: got ${config.PGPOOL_MIN}, expected at most PGPOOL_MAX (${config.PGPOOL_MAX})`);
  for (const name of ['EMBEDDINGS_MODEL', 'EMBEDDINGS_DIMENSION'] as const)
    if (config.EMBEDDINGS_URL !== undefined && config[name] === undefined)
      faults.push(`${name}: got nothing, expected a value, because EMBEDDINGS_URL is set`);
  const previousDimension = config.EMBEDDINGS_PREVIOUS_DIMENSION ?? config.EMBEDDINGS_DIMENSION;
  if (
    config.EMBEDDINGS_MODEL !== undefined &&
    config.EMBEDDINGS_MODEL === config.EMBEDDINGS_PREVIOUS_MODEL &&
    config.EMBEDDINGS_DIMENSION === previousDimension
  )
    faults.push('EMBEDDINGS_PREVIOUS_MODEL: got EMBEDDINGS_MODEL, expected another model or EMBEDDINGS_PREVIOUS_DIMENSION');
  const keys = [config.JWT_SECRET, config.JWT_SECRET_NEXT, config.JWT_SECRET_PREVIOUS].filter((key) => key !== undefined);
  if (new Set(keys).size < keys.length)
    faults.push('JWT_SECRET, JWT_SECRET_NEXT, JWT_SECRET_PREVIOUS: got equal values, expected different ones');
  return [...faults, ...capabilityKeyFaults(config), ...redisFaults(config)];
}

/** Returns whether a host, with or without a port and with brackets as in a URL, is the loopback interface. */
export const isLoopbackHost = (host: string): boolean =>
  /^(?:::1|(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?)$/i.test(host);

/** Returns whether a page of this origin comes from this machine. */
export const isLoopbackOrigin = (origin: string): boolean =>
  /^https?:\/\//i.test(origin) && isLoopbackHost(origin.replace(/^https?:\/\//i, ''));

/** Returns why the paths of COMPAT_TENANT, which accept requests without a credential in DEV_MODE, could be reached from elsewhere. */
function openToOthers(config: Config): string[] {
  const { TRUST_PROXY_HOPS: hops, CORS_ORIGINS } = config;
  const why = 'because COMPAT_TENANT accepts requests without a credential';
  const host = hostOf(config);
  const foreign = CORS_ORIGINS.find((origin) => !isLoopbackOrigin(origin));
  return [
    ...(isLoopbackHost(host) && hops === 0
      ? []
      : [`DEV_MODE: got true with HOST=${host} and TRUST_PROXY_HOPS=${hops}, expected a loopback address and no proxy, ${why}`]),
    ...(foreign === undefined
      ? []
      : [`DEV_MODE: got true with ${JSON.stringify(foreign)} in CORS_ORIGINS, expected origins of this machine only, ${why}`]),
  ];
}

/** The two keys may be equal if their ids are, too: in a rotation, NEXT becomes ACTIVE before there is a new NEXT. */
function capabilityKeyFaults(config: z.output<typeof settings>): string[] {
  const { NODE_ENV, CAP_KEY_ACTIVE: active, CAP_KEY_NEXT: next, CAP_KEY_ACTIVE_ID, CAP_KEY_NEXT_ID } = config;
  const faults = (['CAP_KEY_ACTIVE', 'CAP_KEY_NEXT'] as const).flatMap((name) =>
    NODE_ENV === 'production' && isExampleKey(config[name] ?? '')
      ? [`${name}: got an example value, expected the output of \`openssl rand -base64 32\``]
      : [],
  );
  if (next !== undefined && active === undefined && NODE_ENV === 'production')
    faults.push('CAP_KEY_ACTIVE: got nothing, expected a value, because CAP_KEY_NEXT is set');
  if (next !== undefined && (CAP_KEY_ACTIVE_ID === CAP_KEY_NEXT_ID) !== (active === next))
    faults.push('CAP_KEY_NEXT_ID: expected an id of its own for each key: neither one id for two keys nor two ids for one key');
  return faults;
}

/** Whether a key in base64 is a readable text, such as the key in a guide. */
const isExampleKey = (key: string): boolean => /^[\x20-\x7e]{16,}$/.test(Buffer.from(key, 'base64').toString('latin1'));

const jwtSecrets = ['JWT_SECRET', 'JWT_SECRET_NEXT', 'JWT_SECRET_PREVIOUS'] as const;

/** Checks the values before they are parsed, so that weak secrets are reported together with all other faults. */
function weakness(name: (typeof jwtSecrets)[number], values: Record<string, string | undefined>): string[] {
  const secret = values[name];
  const inProduction = values.NODE_ENV === 'production';
  if (secret === undefined)
    return name === 'JWT_SECRET' && inProduction
      ? [`${name}: got nothing, expected the output of \`openssl rand -base64 32\``]
      : [];
  if (Buffer.byteLength(secret) < 32)
    return [`${name}: got ${Buffer.byteLength(secret)} bytes, expected at least 32 (\`openssl rand -base64 32\`)`];
  if (inProduction && isExample(secret))
    return [`${name}: got an example value, expected the output of \`openssl rand -base64 32\``];
  return [];
}

/** The address to listen on: HOST, else all interfaces in production and only the loopback interface elsewhere. */
export const hostOf = ({ HOST, NODE_ENV }: Config): string => HOST ?? (NODE_ENV === 'production' ? '0.0.0.0' : '127.0.0.1');

/** The ports to listen on: PORT, and ADMIN_PORT if it is set. */
export const portsOf = (config: Config) => {
  const main = { port: config.PORT, host: hostOf(config), setting: 'PORT' as const };
  if (config.ADMIN_PORT === undefined) return [main];
  return [main, { port: config.ADMIN_PORT, host: config.ADMIN_HOST, setting: 'ADMIN_PORT' as const }];
};

export const ledgerOf = ({ DATA_DIR, ERASURE_LEDGER }: Config): string => ERASURE_LEDGER ?? join(DATA_DIR, 'erasures.ndjson');

/** Whether the configuration names no PostgreSQL server, so that the embedded engine is used. */
export const usesEmbedded = (config: Config): boolean => config.PGHOST === undefined && config.DATABASE_URL === undefined;
