import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig } from '../src/config.ts';
import { generatedSecret } from '../src/generated_secrets.ts';
import { generateMissing } from '../src/keys.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'generated-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const strong = 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj';

test('a generated secret has 32 bytes, only its owner can read its file, and it is kept', () => {
  const data = join(dir, 'new', 'data');
  const secret = generatedSecret(data, 'capability-key');
  expect(Buffer.from(secret, 'base64')).toHaveLength(32);
  expect(generatedSecret(data, 'capability-key')).toBe(secret);
  expect(generatedSecret(data, 'jwt-secret')).not.toBe(secret);
  expect(readdirSync(data).sort()).toEqual(['capability-key', 'jwt-secret']);
  for (const name of readdirSync(data)) expect((statSync(join(data, name)).mode & 0o777).toString(8)).toBe('600');
  expect((statSync(data).mode & 0o777).toString(8)).toBe('700');
});

test('processes that start at the same time get the same secret and leave no temporary file', async () => {
  const script = join(import.meta.dirname, '../dist/generated_secrets.js');
  const program = `import(${JSON.stringify(script)}).then(({ generatedSecret }) => {
    while (Date.now() < Number(process.argv[2]));
    console.log(generatedSecret(process.argv[1], 'jwt-secret'));
  })`;
  const at = String(Date.now() + 2000);
  const run = () => promisify(execFile)(process.execPath, ['-e', program, join(dir, 'data'), at]);
  const secrets = new Set((await Promise.all(Array.from({ length: 6 }, run))).map(({ stdout }) => stdout.trim()));
  expect([...secrets]).toEqual([readFileSync(join(dir, 'data', 'jwt-secret'), 'utf8')]);
  expect(readdirSync(join(dir, 'data'))).toEqual(['jwt-secret']);
});

test.each(['', 'short', `${strong}\n${strong}`])('a file that holds %j is reported and not replaced', (text) => {
  writeFileSync(join(dir, 'encryption-key'), text);
  expect(() => generatedSecret(dir, 'encryption-key')).toThrow(/encryption-key does not hold a secret\. Restore it/);
  expect(readFileSync(join(dir, 'encryption-key'), 'utf8')).toBe(text);
});

test('only secrets that are not configured are generated, once, and none in production', () => {
  const missing = (env: Record<string, string>) => generateMissing(loadConfig({ DATA_DIR: dir, ...env }));
  expect(missing({ NODE_ENV: 'production', JWT_SECRET: strong })).toEqual([]);
  expect(readdirSync(dir)).toEqual([]);
  expect(missing({ JWT_SECRET: strong })).not.toContain('JWT_SECRET');
  expect(readdirSync(dir)).not.toContain('jwt-secret');
  expect(missing({})).toEqual(['JWT_SECRET']);
  expect(missing({})).toEqual([]);
});
