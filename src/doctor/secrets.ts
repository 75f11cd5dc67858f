import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, isExample } from '../config.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';

// Whether secrets are there and worth the name. Their values are looked at and never said.

const MAKE = 'openssl rand -base64 32';
/** 32 random bytes have 175 bits or more by this measure in base64, and 230 in hex; what a person makes up rarely has 100. */
const LEAST_BITS = 110;
const LEAST_PASSWORD = 12;

const named = ['JWT_SECRET', 'JWT_SECRET_NEXT', 'ENCRYPTION_KEY', 'AUDIT_KEY'] as const;

export function judgeSecrets(config: Config): Finding[] {
  const found = [...named.flatMap((name) => judgeKey(name, config[name])), ...judgeAbsent(config), ...judgeTwins(config)];
  return [
    ...findingsOrOk('secrets', `${named.filter((name) => config[name]).join(', ') || 'of development'}`, found),
    ...judgePassword(config),
  ];
}

function judgeKey(name: string, value: string | undefined): Finding[] {
  if (value === undefined) return [];
  if (isExample(value)) return [failed('secrets', `${name} is an example value`, `${MAKE}   # put the output into ${name}`)];
  if (bitsOf(value) < LEAST_BITS)
    return [failed('secrets', `${name} can be guessed: it repeats few characters`, `${MAKE}   # put the output into ${name}`)];
  return [];
}

/** Shannon's measure of the characters, times their number: low for `aaaa…`, words repeated, and keyboards. */
function bitsOf(text: string): number {
  const counts = new Map<string, number>();
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1);
  return -[...counts.values()].reduce((sum, count) => sum + count * Math.log2(count / text.length), 0);
}

function judgeAbsent({ NODE_ENV, DATA_DIR, ...config }: Config): Finding[] {
  if (NODE_ENV !== 'production') return judgeDevelopment(DATA_DIR);
  return [
    ...(config.ENCRYPTION_KEY
      ? []
      : [
          warning(
            'secrets',
            'no ENCRYPTION_KEY: webhooks, erasures and sealed secrets are refused',
            `${MAKE}   # ENCRYPTION_KEY`,
          ),
        ]),
    ...(config.AUDIT_KEY
      ? []
      : [
          warning(
            'secrets',
            'no AUDIT_KEY: the audit is chained by a key that is changed for other reasons',
            `${MAKE}   # AUDIT_KEY, then \`npm run audit:verify\``,
          ),
        ]),
  ];
}

/** What development made for itself is a secret all the same. */
const judgeDevelopment = (dir: string): Finding[] =>
  ['jwt-secret', 'encryption-key'].flatMap((name) => {
    const file = join(dir, name);
    const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
    return mode & 0o077 ? [failed('secrets', `${file} can be read by others`, `chmod 600 ${file}`)] : [];
  });

/** One secret for two purposes cannot be changed for one of them. */
function judgeTwins(config: Config): Finding[] {
  const pairs = named.flatMap((a, i) => named.slice(i + 1).map((b) => [a, b] as const));
  return pairs
    .filter(([a, b]) => config[a] !== undefined && config[a] === config[b])
    .map(([a, b]) => failed('secrets', `${a} and ${b} are equal`, `${MAKE}   # a value of its own for ${b}`));
}

function judgePassword(config: Config): Finding[] {
  const password = passwordOf(config);
  if (!config.PGHOST && !config.DATABASE_URL) return [];
  if (password === undefined) return [skipped('password', 'none is set: the database lets this user in by other means')];
  const user = config.DATABASE_URL ? new URL(config.DATABASE_URL).username : config.PGUSER;
  const change = `psql -c '\\password ${user}'   # then PGPASSWORD (or POSTGRES_PASSWORD), ${MAKE} makes one`;
  if (isExample(password)) return [failed('password', 'the database password is an example value', change)];
  if (password === user) return [failed('password', 'the database password is the name of the user', change)];
  if (password.length < LEAST_PASSWORD)
    return [warning('password', `the database password has fewer than ${LEAST_PASSWORD} characters`, change)];
  return [ok('password', 'the database password is no example')];
}

function passwordOf({ DATABASE_URL, PGPASSWORD, POSTGRES_PASSWORD }: Config): string | undefined {
  if (DATABASE_URL === undefined) return PGPASSWORD ?? POSTGRES_PASSWORD;
  return decodeURIComponent(new URL(DATABASE_URL).password) || undefined;
}
