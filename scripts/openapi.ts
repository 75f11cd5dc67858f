import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { referencePages } from '../site/reference/pages.ts';
import { loadConfig } from '../src/config.ts';
import { describeService } from '../src/wiring.ts';

const root = join(import.meta.dirname, '..');
const REFERENCE = 'docs/reference';

new Command('npm run openapi --')
  .description('Writes openapi.json from the routes, and docs/problems.md and docs/reference from it.')
  .option('--check', 'write nothing; fail if a file is out of date')
  .action(({ check }: { check?: boolean }) => {
    const { document } = describeService(loadConfig({ JWT_SECRET: 'x'.repeat(32) }));
    const json = `${JSON.stringify(document, null, 1)}\n`;
    const files = new Map([['openapi.json', json], ...referencePages(JSON.parse(json))]);
    const stale = readdirSync(join(root, REFERENCE))
      .map((name) => `${REFERENCE}/${name}`)
      .filter((file) => !files.has(file));
    const different = [...files].filter(
      ([file, text]) => !existsSync(join(root, file)) || readFileSync(join(root, file), 'utf8') !== text,
    );
    if (!check) {
      for (const [file, text] of different) writeFileSync(join(root, file), text);
      for (const file of stale) rmSync(join(root, file));
      return;
    }
    for (const file of [...different.map(([name]) => name), ...stale]) {
      console.error(`error: ${file} does not match the routes. Run \`npm run openapi\` and commit the file.`);
      process.exitCode = 1;
    }
    if (check && !process.exitCode) console.error('openapi.json, docs/problems.md and docs/reference are up to date');
  })
  .parse();
