import { startDaemonProcess } from './daemon.ts';
import type { Figure } from './report.ts';
import { median } from './rounds.ts';
import type { World } from './world.ts';

const STARTS = 5;

/** Measures the time from spawning the process to the first healthy response, on an existing embedded database. */
export async function measureStart(world: World): Promise<Figure[]> {
  const seconds: number[] = [];
  for (let i = 0; i <= STARTS; i += 1) {
    const started = performance.now();
    const env = { DATA_DIR: world.path('embedded'), MIGRATE_ON_START: 'true' };
    const daemon = await startDaemonProcess(env, world.path('embedded.log'));
    const answer = await fetch(`${daemon.url}/health`);
    if (answer.status !== 200) throw new Error(`health: ${answer.status}`);
    seconds.push((performance.now() - started) / 1000);
    await daemon.stop();
  }
  const [first, ...later] = seconds;
  const note = `the first, which initialises the database: ${first!.toFixed(1)} s`;
  return [{ part: 'start', name: 'second embedded start to healthy', value: median(later), unit: 's', goal: { max: 2 }, note }];
}
