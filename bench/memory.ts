import { measureLoad } from './append.ts';
import { peakMemory } from './daemon.ts';
import type { Figure } from './report.ts';
import type { World } from './world.ts';

/** Measures the peak memory of the daemon under the load of all earlier parts. If it runs alone, it makes some load first. */
export async function measureMemory(world: World): Promise<Figure[]> {
  const { pid } = await world.daemon('one');
  await measureLoad(world);
  return [
    {
      part: 'memory',
      name: 'peak memory of the daemon (RSS) under the load of all earlier parts',
      value: peakMemory(pid),
      unit: 'MiB',
      goal: { max: 300 },
    },
  ];
}
