// What needs more than Node: nginx, docker, promtool, k6, pgbouncer, a PostgreSQL server. `npm test` leaves it out. Faults and upgrades take
// minutes each: LONG=faults or LONG=upgrade runs those alone (.ci/long).
const base = require('./jest.config.cjs');

const { LONG, CHAOS } = process.env;
const long = ['/operations/faults/', '/operations/upgrade/'];

module.exports = {
  ...base,
  testMatch: [`<rootDir>/tests/operations/${LONG ? `${LONG}/` : ''}**/*.test.ts`],
  testPathIgnorePatterns: ['/node_modules/', ...(LONG ? [] : long)],
  testTimeout: CHAOS === 'long' ? 1_800_000 : 300_000,
};
