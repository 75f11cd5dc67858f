// The tests that run on both engines in .ci/run: each file whose result depends on the engine. These are the product's promises (scenarios), how
// data is written and read (db, events, passages, search, context, memories, embeddings), and for each other feature the file that executes all its statements.
// Not included are tests without a database, and the long lists of hostile input, commands and faults, which end before a statement or concern a
// server. `.ci/long` runs everything.
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const base = require('./jest.config.cjs');

process.env.TEST_ENGINE = 'embedded';

const whole = ['scenarios', 'db', 'events', 'passages', 'search', 'context', 'memories', 'embeddings'];
const one = [
  'agents/kill',
  'artifacts/stage',
  'audit/audit',
  'auth/signed_keys',
  'auth/users',
  'backup/rows',
  'capabilities/capabilities',
  'capsules/private',
  'compat/compat',
  'consistency/consistency',
  'edits/effects',
  'erasure/erasure',
  'export/roundtrip',
  'filter/filter',
  'guard/service',
  'jobs/jobs',
  'leases/leases',
  'leases/queue',
  'limits/limits',
  'mandates/authorise',
  'mandates/deferred',
  'metrics/figures',
  'noun/noun',
  'policies/policies',
  'retention/retention',
  'snapshots/access',
  'snapshots/copies',
  'snapshots/snapshots',
  'state/removed_keys',
  'state/state',
  'state/watch',
  'tenants/tenant',
  'webhooks/webhooks',
  'main',
];
/** Whether a file imports nothing that could lead to a database: no client, no daemon, no neighbour that has one. */
const isPure = (file) => !/from '(\.\.\/)+support\/(?!cost|eventually|items)|from '\.\//.test(readFileSync(file, 'utf8'));
/** db/embedded always starts its own engines. */
const filesOf = (folder) =>
  readdirSync(join(__dirname, 'tests', folder))
    .filter((name) => name.endsWith('.test.ts') && name !== 'embedded.test.ts')
    .map((name) => join(__dirname, 'tests', folder, name));

module.exports = {
  ...base,
  testMatch: [...whole.flatMap(filesOf).filter((file) => !isPure(file)), ...one.map((name) => join(__dirname, 'tests', `${name}.test.ts`))],
};
