// Copies the files that the daemon reads in addition to its compiled modules: SQL functions and data files.
const { copyFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');

const assets = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(root, 'src', name)).map((file) => ({ folder: name, file })))
  .filter(({ file }) => file === 'functions.sql' || file === 'examples.json' || /\.(txt|bin)$/.test(file));
if (!assets.some(({ folder }) => folder === 'db')) throw new Error('src/db/functions.sql is missing');
for (const { folder, file } of assets) copyFileSync(join(root, 'src', folder, file), join(root, 'dist', folder, file));
