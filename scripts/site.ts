import { join } from 'node:path';
import { Command } from 'commander';
import { buildSite } from '../site/build.ts';

const root = join(import.meta.dirname, '..');

new Command('npm run site --')
  .description('Renders the documentation into dist/site.')
  .action(() => buildSite(root, join(root, 'dist/site')))
  .parse();
