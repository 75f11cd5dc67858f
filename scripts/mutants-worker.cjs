// A child process of scripts/mutants.ts: runs the given test files in order until one fails. Jest stays loaded between runs, and the
// database (if any) belongs to the parent, so that a mutant costs little more than its tests.
const { join } = require('node:path');
const { runCLI } = require('jest');

const root = process.argv[2];
const { globalSetup, globalTeardown, ...base } = require(join(root, 'jest.config.cjs'));
const config = JSON.stringify({
  ...base,
  rootDir: root,
  roots: ['<rootDir>/src', '<rootDir>/tests'],
  cacheDirectory: join(root, '.jest'),
  maxWorkers: 1,
});

process.chdir(root);
process.on('disconnect', () => process.exit());
process.on('message', async ({ tests }) => {
  for (const test of tests) {
    const options = { _: [test], $0: '', config, runInBand: true, silent: true, bail: 1, reporters: [], watchman: false };
    const { results } = await runCLI(options, [root]);
    const failed = !results.success || results.numTotalTests === 0;
    if (failed) return process.send({ noticed_by: test });
  }
  process.send({ noticed_by: null });
});
