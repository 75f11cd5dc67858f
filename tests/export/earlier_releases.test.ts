import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { FORMAT_VERSION } from '../../src/export/full.ts';
import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { exportTenant, failedChecks, importFile, jobDone, withoutHeader } from './file.ts';

// Exports of earlier releases. The files must not be changed.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ LOG_LEVEL: 'error' });
});
afterAll(() => daemon.stop());

/** Returns the fields that the earlier release had. Fields that were added later must be null. */
function keptOf(line: Record<string, unknown>, before: Record<string, unknown>): Record<string, unknown> {
  const added = Object.keys(line).filter((name) => !(name in before));
  expect(added.filter((name) => line[name] !== null)).toEqual([]);
  return Object.fromEntries(Object.entries(line).filter(([name]) => !added.includes(name)));
}

test.each(['0.1.0'])('an export of release %s is imported completely and exported unchanged', async (release) => {
  const file = gunzipSync(readFileSync(join(import.meta.dirname, 'fixtures', `${release}.ndjson.gz`))).toString();
  const copy = await newTenant(daemon.url);
  const { status, body } = await importFile(copy, file);
  expect([status, body.as_of_seq]).toEqual([202, 59]);
  expect((await jobDone(copy, body.job_id)).state).toBe('done');
  const before = withoutHeader(file);
  const after = withoutHeader(await exportTenant(copy));
  const kept = after.map((line, i) => keptOf(line, before[i]!));
  expect(kept[0]).toEqual({ ...before[0], format_version: FORMAT_VERSION });
  expect(kept.slice(1)).toEqual(before.slice(1));
  expect(await failedChecks(copy)).toEqual([]);
  const { body: found } = await copy.request('POST', '/v1/search', { body: { query: 'line 4711 crane log', all_users: true } });
  expect(found.data[0].text).toContain('4711');
});
