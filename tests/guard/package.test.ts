import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// A program that has installed the package uses `agent-memory/guard`, with its types. `npm test` has built it.

const root = join(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'consumer-'));
afterAll(() => rmSync(directory, { recursive: true }));

const program = `
import { createDistributedStateManager, createToolAction, MandateBlockedError, MandateClient, type Mandate } from 'agent-memory/guard';

const mandate: Mandate = {
  agentId: 'planner', maxCostTotal: 1, toolPolicies: { pay: { argsSchema: { type: 'object', required: ['amount'] } } },
};
const embedded = new MandateClient({ mandate });
const killed: boolean = embedded.isKilled();
const result: number = await embedded.executeTool(createToolAction('planner', 'add', {}, 0.25), async () => 1);
const cost: number = embedded.getCost();
const shared = createDistributedStateManager('http://localhost:9', { apiKey: 'k' });
const remote = new MandateClient({ mandate: { ...mandate, id: 'm' }, stateManager: shared });
const configured = new MandateClient({ mandate: { ...mandate, id: 'm' }, stateManager: { type: 'redis', url: 'http://localhost:9', apiKey: 'k' } });
export function check(): Promise<boolean>[] {
  // @ts-expect-error the service answers later
  const wrong: boolean = remote.isKilled();
  // @ts-expect-error only embedded mode has a synchronous cost
  remote.getCost();
  return [remote.isKilled(), configured.isKilled()];
}
const refused = await embedded
  .executeTool(createToolAction('planner', 'pay'), () => 1)
  .catch((error: unknown) => (error instanceof MandateBlockedError ? error.code : 'other'));
for (const client of [embedded, remote, configured]) await client.close();
console.log(JSON.stringify([killed, result, cost, refused]));
`;

test('the packed package has the guard without the service, its types are checked, and a program that closed its clients ends', () => {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: root });
  const [packed] = readdirSync(directory);
  const modules = join(directory, 'node_modules');
  mkdirSync(join(modules, 'agent-memory'), { recursive: true });
  execFileSync('tar', ['-xzf', join(directory, packed!), '-C', join(modules, 'agent-memory'), '--strip-components', '1']);
  expect(existsSync(join(modules, 'agent-memory/dist/main.js'))).toBe(false);
  // what `npm install` would add
  for (const name of [
    'ajv',
    'fast-deep-equal',
    'fast-uri',
    'json-schema-traverse',
    'require-from-string',
    're2js',
    '@types',
    'undici-types',
  ])
    if (existsSync(join(root, 'node_modules', name))) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}');
  writeFileSync(join(directory, 'consumer.ts'), program);
  const options = '--strict --module nodenext --target es2023 --types node'.split(' ');
  const compiled = spawnSync(join(root, 'node_modules/.bin/tsc'), [...options, 'consumer.ts'], {
    cwd: directory,
    encoding: 'utf8',
  });
  expect([compiled.stdout, compiled.status]).toEqual(['', 0]);
  const run = spawnSync(process.execPath, ['consumer.js'], { cwd: directory, encoding: 'utf8', timeout: 60_000 });
  expect([run.stderr, run.stdout.trim()]).toEqual(['', '[false,1,0.25,"ARGUMENT_VALIDATION_FAILED"]']);
}, 300_000);
