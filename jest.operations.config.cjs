// What needs more than Node: nginx, docker, promtool, k6, pgbouncer, a PostgreSQL server. `npm test` leaves it out.
const base = require('./jest.config.cjs');

module.exports = {
  ...base,
  testMatch: ['<rootDir>/tests/operations/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 300_000,
};
