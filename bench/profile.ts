import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// npx tsx bench/profile.ts DIR   summarises the CPU profiles of a run with BENCH_PROFILE=DIR, by package or file and by function

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

const TOP = 45;
const IDLE = new Set(['(idle)', '(root)']);

for (const name of readdirSync(process.argv[2]!).filter((file) => file.endsWith('.cpuprofile'))) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(process.argv[2]!, name), 'utf8')) as Profile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const locations = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = frames.get(id)!;
    if (IDLE.has(functionName)) return;
    const location = locationOf(url) || functionName;
    busy += timeDeltas[i]!;
    add(locations, location, timeDeltas[i]!);
    add(functions, `${functionName || '(anonymous)'} ${location}:${lineNumber + 1}`, timeDeltas[i]!);
  });
  console.log(`\n${name}: ${(busy / 1e6).toFixed(1)} s busy`);
  for (const shares of [locations, functions])
    for (const [what, us] of [...shares].sort((a, b) => b[1] - a[1]).slice(0, TOP))
      console.log(`${((100 * us) / busy).toFixed(1).padStart(6)} %  ${what}`);
}

/** Returns the package, the module of Node, or the file of this project. */
function locationOf(url: string): string {
  const [, inPackage] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
  return inPackage ?? url.replace(/^.*\/dist\//, '').replace(/^file:\/\//, '');
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}
