import { measureAppend } from './append.ts';
import { measureControl } from './control.ts';
import { measureExport } from './export.ts';
import { measureIsolation } from './isolation.ts';
import { measureKeys } from './keys.ts';
import { measureLogin } from './login.ts';
import { measureMemories } from './memories.ts';
import { measureMemory } from './memory.ts';
import { measureMixed } from './mixed.ts';
import { measureNeighbours } from './neighbours.ts';
import { measureRead } from './read.ts';
import { measureRecall } from './recall.ts';
import { describeMachine, type Figure, renderTable, saveResults } from './report.ts';
import { measureRetention } from './retention.ts';
import { measureSearch } from './search.ts';
import { measureSeq } from './seq.ts';
import { measureStart } from './start.ts';
import { measureState } from './state.ts';
import { measureStorage } from './storage.ts';
import { measureWatch } from './watch.ts';
import { openWorld, type World } from './world.ts';

// npm run bench                 every part, about ten minutes
// npm run bench -- append read  some parts
// npm run bench -- neighbours:context   the loads of a part whose name contains this word

const parts: Record<string, (world: World, only?: string) => Promise<Figure[]>> = {
  append: measureAppend,
  memories: measureMemories,
  mixed: measureMixed,
  read: measureRead,
  keys: measureKeys,
  isolation: measureIsolation,
  search: measureSearch,
  recall: measureRecall,
  watch: measureWatch,
  login: measureLogin,
  memory: measureMemory,
  export: measureExport,
  retention: measureRetention,
  neighbours: measureNeighbours,
  state: measureState,
  control: measureControl,
  start: measureStart,
  seq: measureSeq,
  storage: measureStorage,
};
/** Parts that run only if named: `seq` compares rejected designs, the result of `storage` is a separate table, and `recall` needs its own passages. */
const extra = new Set(['seq', 'storage', 'recall']);

const wanted = new Map(process.argv.slice(2).map((given) => [given.split(':')[0]!, given.split(':')[1]]));
const unknown = [...wanted.keys()].filter((name) => !(name in parts));
if (unknown.length > 0) throw new Error(`unknown part: ${unknown.join(', ')}; the parts are ${Object.keys(parts).join(', ')}`);

const started = performance.now();
const world = await openWorld();
try {
  const figures: Figure[] = [];
  for (const name of Object.keys(parts)) {
    if (wanted.size > 0 ? !wanted.has(name) : extra.has(name)) continue;
    process.stderr.write(`${name}\n`);
    figures.push(...(await parts[name]!(world, wanted.get(name))));
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  const results = {
    at: new Date().toISOString(),
    machine: describeMachine(),
    postgres: world.postgres,
    seconds,
    figures,
  };
  if (![...wanted.values()].some(Boolean)) saveResults(results);
  console.log(`${results.machine}, ${results.postgres} (fsync and synchronous_commit on), rate limits off, ${seconds} s\n`);
  console.log(renderTable(figures));
} finally {
  await world.close();
}
