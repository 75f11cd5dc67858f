// Tests that need other programs: nginx, docker, promtool, k6, pgbouncer, a PostgreSQL server. `npm test` excludes them. The fault and upgrade
// tests take minutes each: LONG=faults or LONG=upgrade runs only those (.ci/long).
const base = require('./jest.config.cjs');

const { LONG, CHAOS } = process.env;
const long = ['/operations/faults/', '/operations/upgrade/'];

module.exports = {
  ...base,
  testMatch: [`<rootDir>/tests/operations/${LONG ? `${LONG}/` : ''}**/*.test.ts`],
  testPathIgnorePatterns: ['/node_modules/', ...(LONG ? [] : long)],
  testTimeout: CHAOS === 'long' ? 1_800_000 : 300_000,
};
