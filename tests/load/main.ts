import { check } from 'k6';
import exec from 'k6/execution';
import type { Options } from 'k6/options';
import { keepStream, takeTurn } from './agent.ts';
import { baseUrl } from './api.ts';
import { figuresOf, type Summary, seriesOf } from './report/figures.ts';
import { htmlOf } from './report/html.ts';
import { junitOf } from './report/junit.ts';
import { textOf } from './report/text.ts';
import { scenariosOf, suiteOf, thresholdsOf } from './suites.ts';
import { deleteWorld, makeWorld, type World } from './world.ts';

// The script that k6 runs. run-load-test.sh chooses the suite.

const name = __ENV.SUITE || 'smoke';
const suite = suiteOf(name, Number(__ENV.DURATION_SCALE || 1), Number(__ENV.USERS_SCALE || 1));

export const options: Options = {
  scenarios: scenariosOf(suite) as Options['scenarios'],
  thresholds: { ...seriesOf(suite), ...thresholdsOf(suite) },
  summaryTrendStats: ['min', 'med', 'avg', 'p(95)', 'p(99)', 'max', 'count'],
  insecureSkipTLSVerify: /^(1|true|yes|on)$/i.test(__ENV.K6_INSECURE ?? ''),
  setupTimeout: '5m',
  teardownTimeout: '1m',
};

export const setup = (): World => makeWorld(suite);

export function turn(world: World): void {
  takeTurn(world, suite.phases.find((phase) => phase.name === exec.scenario.name)!.users);
}

export function followStream(world: World): void {
  check(keepStream(world), { 'the stream stays open': (it) => it });
}

export const teardown = (world: World): void => deleteWorld(world);

/** Writes only selected figures, because k6's own data contains the tokens that setup() created. */
export function handleSummary(data: Summary): Record<string, string> {
  if (!data.metrics.iterations) return { stderr: 'Nothing was measured, so there is no report.\n' };
  const figures = figuresOf(data, name, suite, baseUrl);
  const path = `${__ENV.RESULTS_DIR || 'results'}/${__ENV.RESULT || name}`;
  return {
    stdout: textOf(figures, path),
    [`${path}.json`]: `${JSON.stringify(figures, null, 2)}\n`,
    [`${path}.xml`]: junitOf(figures),
    [`${path}.html`]: htmlOf(figures),
  };
}
