import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, isExample } from '../config.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';

// Checks that secrets are set and strong. Their values are never printed.

const MAKE = 'openssl rand -base64 32';
/** By this measure 32 random bytes have at least 175 bits in base64 and 230 in hex; a text made up by a person rarely has 100. */
const MIN_BITS = 110;
const MIN_PASSWORD_CHARACTERS = 12;

const keyNames = ['JWT_SECRET', 'JWT_SECRET_NEXT', 'ENCRYPTION_KEY', 'AUDIT_KEY', 'CAP_KEY_ACTIVE', 'CAP_KEY_NEXT'] as const;

export function checkSecrets(config: Config): Finding[] {
  const findings = [
    ...keyNames.flatMap((name) => checkKey(name, config[name])),
    ...checkAbsent(config),
    ...checkDuplicates(config),
  ];
  return [
    ...findingsOrOk('secrets', `${keyNames.filter((name) => config[name]).join(', ') || 'generated for development'}`, findings),
    ...checkPassword(config),
  ];
}

function checkKey(name: string, value: string | undefined): Finding[] {
  if (value === undefined) return [];
  if (isExample(value)) return [failed('secrets', `${name} is an example value`, `${MAKE}   # put the output into ${name}`)];
  if (bitsOf(value) < MIN_BITS)
    return [failed('secrets', `${name} is guessable: it repeats few characters`, `${MAKE}   # put the output into ${name}`)];
  return [];
}

/** Returns the Shannon entropy of the characters times their number: low for `aaaa…`, repeated words and keyboard patterns. */
function bitsOf(text: string): number {
  const counts = new Map<string, number>();
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1);
  return -[...counts.values()].reduce((sum, count) => sum + count * Math.log2(count / text.length), 0);
}

function checkAbsent({ NODE_ENV, DATA_DIR, ...config }: Config): Finding[] {
  if (NODE_ENV !== 'production') return checkDevelopment(DATA_DIR);
  return [
    ...(config.ENCRYPTION_KEY
      ? []
      : [
          warning(
            'secrets',
            'no ENCRYPTION_KEY: webhooks, signed keys, erasures and encrypted secrets are unavailable',
            `${MAKE}   # ENCRYPTION_KEY`,
          ),
        ]),
    ...(config.CAP_KEY_ACTIVE
      ? []
      : [warning('secrets', 'no CAP_KEY_ACTIVE: there are no capabilities', `${MAKE}   # CAP_KEY_ACTIVE`)]),
    ...(config.AUDIT_KEY
      ? []
      : [
          warning(
            'secrets',
            'no AUDIT_KEY: the audit chain uses a key that may be rotated for other reasons',
            `${MAKE}   # AUDIT_KEY, then \`npm run audit:verify\``,
          ),
        ]),
  ];
}

/** Checks the files of the secrets that were generated. */
const checkDevelopment = (dir: string): Finding[] =>
  ['jwt-secret', 'encryption-key', 'capability-key'].flatMap((name) => {
    const file = join(dir, name);
    const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
    return mode & 0o077 ? [failed('secrets', `${file} is readable by other users`, `chmod 600 ${file}`)] : [];
  });

/** Checks that no two secrets are equal: a shared secret cannot be rotated for one purpose only. In a rotation, CAP_KEY_NEXT becomes CAP_KEY_ACTIVE. */
function checkDuplicates(config: Config): Finding[] {
  const pairs = keyNames.flatMap((a, i) => keyNames.slice(i + 1).map((b) => [a, b] as const));
  return pairs
    .filter(([a, b]) => config[a] !== undefined && config[a] === config[b] && !(a === 'CAP_KEY_ACTIVE' && b === 'CAP_KEY_NEXT'))
    .map(([a, b]) => failed('secrets', `${a} and ${b} are equal`, `${MAKE}   # a different value for ${b}`));
}

function checkPassword(config: Config): Finding[] {
  const password = passwordOf(config);
  if (!config.PGHOST && !config.DATABASE_URL) return [];
  if (password === undefined) return [skipped('password', 'not set: the database authenticates this user by other means')];
  const user = config.DATABASE_URL ? new URL(config.DATABASE_URL).username : config.PGUSER;
  const change = `psql -c '\\password ${user}'   # then PGPASSWORD (or POSTGRES_PASSWORD), generate one with ${MAKE}`;
  if (isExample(password)) return [failed('password', 'the database password is an example value', change)];
  if (password === user) return [failed('password', 'the database password is the user name', change)];
  if (password.length < MIN_PASSWORD_CHARACTERS)
    return [warning('password', `the database password has fewer than ${MIN_PASSWORD_CHARACTERS} characters`, change)];
  return [ok('password', 'the database password is not an example value')];
}

function passwordOf({ DATABASE_URL, PGPASSWORD, POSTGRES_PASSWORD }: Config): string | undefined {
  if (DATABASE_URL === undefined) return PGPASSWORD ?? POSTGRES_PASSWORD;
  return decodeURIComponent(new URL(DATABASE_URL).password) || undefined;
}
