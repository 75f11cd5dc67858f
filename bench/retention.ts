import { setTimeout as sleep } from 'node:timers/promises';
import { fill } from './export.ts';
import type { Figure } from './report.ts';
import type { World } from './world.ts';

const EVENTS = 500_000;
const POLL_MS = 200;

/** Measures the preview of a retention policy that applies to every event, on a log so long that the preview becomes a job. */
export async function measureRetention(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  await fill(world, 'old', EVENTS);
  const headers = { ...(await world.tenant('old')), 'Content-Type': 'application/json' };
  const started = performance.now();
  const body = JSON.stringify({ rules: [{ older_than_days: 0 }], trim: { keep_events: 1_000 } });
  const response = await fetch(`${url}/v1/retention/preview`, { method: 'POST', headers, body });
  const answered = performance.now() - started;
  if (response.status !== 202) throw new Error(`preview: ${response.status} ${await response.text()}`);
  const { job_id } = (await response.json()) as { job_id: string };
  const events = await untilCounted(`${url}/v1/jobs/${job_id}`, headers);
  if (events !== EVENTS) throw new Error(`the preview counted ${events} of ${EVENTS} events`);
  const seconds = (performance.now() - started) / 1000;
  return [
    { part: 'retention', name: `response to a preview on ${EVENTS} events`, value: answered / 1000, unit: 's', goal: { max: 5 } },
    { part: 'retention', name: 'time until its job is done', value: seconds, unit: 's' },
  ];
}

async function untilCounted(url: string, headers: Record<string, string>): Promise<number> {
  for (;;) {
    const job = (await (await fetch(url, { headers })).json()) as { state: string; result?: { events: number } };
    if (job.state === 'done') return job.result!.events;
    if (job.state !== 'queued' && job.state !== 'running') throw new Error(`the preview ended as ${job.state}`);
    await sleep(POLL_MS);
  }
}
