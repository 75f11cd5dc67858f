import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { loadConfig } from '../src/config.ts';
import { describeService } from '../src/wiring.ts';

const FILE = join(import.meta.dirname, '..', 'openapi.json');

new Command('npm run openapi --')
  .description('Writes openapi.json from the routes.')
  .option('--check', 'write nothing; fail if the file is out of date')
  .action(({ check }: { check?: boolean }) => {
    const { document } = describeService(loadConfig({ JWT_SECRET: 'x'.repeat(32) }));
    const text = `${JSON.stringify(document, null, 1)}\n`;
    if (!check) return writeFileSync(FILE, text);
    if (readFileSync(FILE, 'utf8') === text) return console.error('openapi.json is up to date');
    console.error('error: openapi.json does not match the routes. Run `npm run openapi` and commit the file.');
    process.exitCode = 1;
  })
  .parse();
