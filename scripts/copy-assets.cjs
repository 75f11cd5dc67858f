// Copies into dist/ what the daemon reads apart from its compiled modules: SQL functions, data files, and the page of the API reference.
const { copyFileSync, mkdirSync, readdirSync } = require('node:fs');
const { dirname, join } = require('node:path');

const root = join(__dirname, '..');
const swagger = dirname(require.resolve('swagger-ui-dist/package.json'));
const pages = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png', 'LICENSE', 'NOTICE'];

const beside = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(root, 'src', name)).map((file) => ({ folder: name, file })))
  .filter(({ file }) => file === 'functions.sql' || file === 'examples.json' || file.endsWith('.txt'));
if (!beside.some(({ folder }) => folder === 'db')) throw new Error('src/db/functions.sql is missing');
for (const { folder, file } of beside) copyFileSync(join(root, 'src', folder, file), join(root, 'dist', folder, file));

mkdirSync(join(root, 'dist/docs'), { recursive: true });
for (const name of pages) copyFileSync(join(swagger, name), join(root, 'dist/docs', name));
