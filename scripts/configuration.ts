import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { secretSettings, settings } from '../src/settings.ts';

const root = join(import.meta.dirname, '..');

/** The settings of the deployment guide's .env.prod, under its headings. Its time-outs of 30 s would outlast a request: those here are the defaults. */
const guide: Record<string, Record<string, string>> = {
  PostgreSQL: {
    PGHOST: 'postgres',
    PGPORT: '5432',
    PGDATABASE: 'agent_memory',
    PGUSER: 'memory',
    POSTGRES_PASSWORD: '<strong-password-here>',
  },
  'Connection Pool': {
    PGPOOL_MAX: '20',
    PGPOOL_MIN: '5',
    PGIDLE_TIMEOUT: '30000',
    PGCONNECTION_TIMEOUT: '2000',
    PGMAX_LIFETIME: '1800000',
    PGSTATEMENT_TIMEOUT: '5000',
    PGQUERY_TIMEOUT: '6000',
  },
  Server: { PORT: '3000', NODE_ENV: 'production' },
  'JWT Authentication': {
    JWT_SECRET: '<generate-with-openssl-rand-base64-32>',
    JWT_EXPIRES_IN: '24h',
    JWT_ISSUER: 'agent-memory-system',
  },
  Security: { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_WINDOW_MS: '60000', RATE_LIMIT_MAX_REQUESTS: '100' },
};

interface Setting {
  name: string;
  group: string;
  about: string;
  byDefault?: string;
}

const all: Setting[] = Object.entries(settings.shape).map(([name, schema]) => ({
  name,
  ...(schema.meta() as Omit<Setting, 'name'>),
}));
const groups = [...new Set(all.map((setting) => setting.group))];
const isSecret = (name: string) => (secretSettings as readonly string[]).includes(name);
const fileForm = (name: string) => (isSecret(name) ? ` (or ${name}_FILE: a file that holds it)` : '');

new Command('npm run configuration --')
  .description('Writes .env.example and docs/configuration.md from the schema in src/settings.ts.')
  .option('--check', 'write nothing; fail if a file is not up to date')
  .action(({ check }: { check?: boolean }) => {
    for (const [file, text] of Object.entries({ '.env.example': envExample(), 'docs/configuration.md': table() })) {
      const path = join(root, file);
      if (!check) writeFileSync(path, text);
      else if (readFileSync(path, 'utf8') !== text) {
        console.error(`error: ${file} is not what src/settings.ts says. Run \`npm run configuration\` and commit it.`);
        process.exitCode = 1;
      }
    }
  })
  .parse();

function envExample(): string {
  const inGuide = Object.values(guide).flatMap((values) => Object.keys(values));
  const about = (name: string) => `# ${all.find((setting) => setting.name === name)!.about}${fileForm(name)}`;
  const set = Object.entries(guide).map(([heading, values]) =>
    [`# ${heading}`, ...Object.entries(values).flatMap(([name, value]) => ['', about(name), `${name}=${value}`])].join('\n'),
  );
  const unset = groups.map((group) => {
    const rest = all.filter((setting) => setting.group === group && !inGuide.includes(setting.name));
    return [`# ${group}`, ...rest.flatMap(({ name, byDefault }) => ['', about(name), `# ${name}=${byDefault ?? ''}`])].join('\n');
  });
  return `# Settings for production: copy to .env.prod and put real values where < > stand. Made by \`npm run configuration\`.

${set.join('\n\n')}

# Everything else, with its default: take the # away to set it.

${unset.join('\n\n')}
`;
}

function table(): string {
  const row = ({ name, about, byDefault }: Setting) =>
    `| \`${name}\` | ${byDefault === undefined ? '' : byDefault === '' ? 'empty' : `\`${byDefault}\``} | ${about.replaceAll('|', '\\|')}${fileForm(name)} |`;
  const sections = groups.map((group) => {
    const rows = all.filter((setting) => setting.group === group).map(row);
    return [`## ${group}`, '', '| variable | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
  });
  return `# Configuration

Made from the schema in \`src/settings.ts\` by \`npm run configuration\`. Settings are environment variables; an empty one counts as absent. All that
is wrong is told at once, and the daemon does not start. Durations are a number of seconds or carry a unit (\`15m\`, \`24h\`, \`7d\`).

${sections.join('\n\n')}
`;
}
