// The SQL functions go beside the compiled modules: dist/<folder>/functions.sql.
const { copyFileSync, existsSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const folders = readdirSync(join(root, 'src')).filter((folder) => existsSync(join(root, 'src', folder, 'functions.sql')));
if (!folders.includes('db')) throw new Error('src/db/functions.sql is missing');
for (const folder of folders)
  copyFileSync(join(root, 'src', folder, 'functions.sql'), join(root, 'dist', folder, 'functions.sql'));
