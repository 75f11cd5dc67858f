import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { type Config, secretSettings, settings } from './settings.ts';

// The one reader of process.env.

export type { Config };

const exampleSecret = /change-?this|change-?me|your-?secret|example|generate-with|<.*>/i;
/** Whether a secret is what examples show. */
export const isExample = (secret: string): boolean => exampleSecret.test(secret);

/** The fewest connections that are left to everything else. */
const LEAST_FOR_OTHERS = 4;

/** So many of PGPOOL_MAX connections are the workers’ own; without any heavy reads are answered on the event loop. */
export const readersOf = (config: Config): number =>
  usesEmbedded(config) || config.PGPOOL_MAX < config.WORKERS + LEAST_FOR_OTHERS ? 0 : config.WORKERS;

/** Reads every setting, or throws a ConfigError that lists all that is wrong: variable, got, expected. */
export function loadConfig(env: Record<string, string | undefined> = process.env): Config {
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

/** Defaults that a first integration does not run into. */
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

/** An empty variable counts as absent: compose files set them so. */
function readSetting(name: string, env: Record<string, string | undefined>, problems: string[]): string | undefined {
  const file = (secretSettings as readonly string[]).includes(name) ? env[`${name}_FILE`] : undefined;
  const inline = env[name] === '' && name !== 'CORS_ORIGINS' ? undefined : env[name];
  if (!file) return inline;
  try {
    // compose can only mount something: where no file is meant, /dev/null
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
  const found: string[] = [];
  for (const name of ['PGPASSWORD', 'POSTGRES_PASSWORD', 'AUDIT_KEY'] as const)
    if (config.NODE_ENV === 'production' && /^<.*>$/.test(config[name] ?? ''))
      found.push(`${name}: got a placeholder, expected a secret of your own`);
  if (config.NODE_ENV === 'production' && config.BCRYPT_COST < 10)
    found.push(`BCRYPT_COST: got ${config.BCRYPT_COST}, expected at least 10 in production`);
  if (config.IDEMPOTENCY_TTL < 86_400) found.push(`IDEMPOTENCY_TTL: got ${config.IDEMPOTENCY_TTL} s, expected at least 24h`);
  if (config.PGPOOL_MIN > config.PGPOOL_MAX)
    found.push(`PGPOOL_MIN: got ${config.PGPOOL_MIN}, expected at most PGPOOL_MAX (${config.PGPOOL_MAX})`);
  const keys = [config.JWT_SECRET, config.JWT_SECRET_NEXT, config.JWT_SECRET_PREVIOUS].filter((key) => key !== undefined);
  if (new Set(keys).size < keys.length)
    found.push('JWT_SECRET, JWT_SECRET_NEXT, JWT_SECRET_PREVIOUS: got equal values, expected different ones');
  return found;
}

const jwtSecrets = ['JWT_SECRET', 'JWT_SECRET_NEXT', 'JWT_SECRET_PREVIOUS'] as const;

/** Asked of the values as they came, so that a weak secret is told together with everything else. */
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

/** The address to listen on. Outside production only this machine is served unless HOST says otherwise. */
export const hostOf = ({ HOST, NODE_ENV }: Config): string => HOST ?? (NODE_ENV === 'production' ? '0.0.0.0' : '127.0.0.1');

export const ledgerOf = ({ DATA_DIR, ERASURE_LEDGER }: Config): string => ERASURE_LEDGER ?? join(DATA_DIR, 'erasures.ndjson');

/** The database this configuration means: an external server, or none (the embedded one). */
export const usesEmbedded = (config: Config): boolean => config.PGHOST === undefined && config.DATABASE_URL === undefined;
