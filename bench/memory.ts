import { measureLoad } from './append.ts';
import { peakMemory } from './daemon.ts';
import type { Figure } from './report.ts';
import type { World } from './world.ts';

/** The most memory that the daemon under all this load has had; alone, it makes some load first. */
export async function measureMemory(world: World): Promise<Figure[]> {
  const { pid } = await world.daemon('one');
  await measureLoad(world);
  return [
    {
      part: 'memory',
      name: 'memory of the daemon at most (RSS) under the load of the parts before',
      value: peakMemory(pid),
      unit: 'MiB',
      goal: { max: 300 },
    },
  ];
}
