// What runs on the embedded engine as well as on PostgreSQL, where both are tried (.ci/run). The rule: a file whose result depends on what the
// engine does, not only on what we do before and after it. So what the product promises (scenarios), how it is written and read (db, events, passages,
// search, context, memories), and of each other feature the file that goes through all of its statements. Not what has no database, and not
// the long lists of hostile input, commands and faults, which end before a statement or are about a server. `.ci/long` runs everything.
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const base = require('./jest.config.cjs');

process.env.TEST_ENGINE = 'embedded';

const whole = ['scenarios', 'db', 'events', 'passages', 'search', 'context', 'memories'];
const one = [
  'artifacts/stage',
  'audit/audit',
  'auth/users',
  'backup/rows',
  'capsules/private',
  'consistency/consistency',
  'edits/effects',
  'erasure/erasure',
  'export/roundtrip',
  'filter/filter',
  'jobs/jobs',
  'limits/limits',
  'metrics/figures',
  'noun/noun',
  'retention/retention',
  'tenants/tenant',
  'webhooks/webhooks',
  'main',
];
/** Imports nothing that could lead to a database: no client, no daemon, no neighbour that has one. */
const isPure = (file) => !/from '(\.\.\/)+support\/(?!cost|eventually|items)|from '\.\//.test(readFileSync(file, 'utf8'));
/** db/embedded starts engines of its own wherever it runs. */
const filesOf = (folder) =>
  readdirSync(join(__dirname, 'tests', folder))
    .filter((name) => name.endsWith('.test.ts') && name !== 'embedded.test.ts')
    .map((name) => join(__dirname, 'tests', folder, name));

module.exports = {
  ...base,
  testMatch: [...whole.flatMap(filesOf).filter((file) => !isPure(file)), ...one.map((name) => join(__dirname, 'tests', `${name}.test.ts`))],
};
