import { join } from 'node:path';
import { type Dialogue, readDialogues } from '../scripts/eval/dialogues.ts';
import { meanOf } from '../scripts/eval/measures.ts';
import { measureService } from '../scripts/eval/run.ts';
import type { Figure } from './report.ts';
import { measureLatencies } from './search.ts';
import { loadTenants } from './tenants.ts';
import type { World } from './world.ts';

const EXAMPLE = join(import.meta.dirname, '../scripts/eval/example.json');
const BUDGET = 2048;

/**
 * Measures quality and latency as a tenant grows. The dialogues of the file in RECALL_FILE (in the format of `npm run eval`) are recorded among 10⁴ and 10⁶
 * passages of random words, of which the most frequent are those of the dialogues: every word of a question occurs in thousands of them.
 */
export async function measureRecall(world: World): Promise<Figure[]> {
  const dialogues = readDialogues(process.env.RECALL_FILE ?? EXAMPLE);
  await loadTenants(world, vocabularyOf(dialogues));
  const latencies = await measureLatencies(world, 'recall', { search: 30, context: 60, growth: 1.5 });
  const [small, large] = [await quality(world, 't4', dialogues), await quality(world, 't6', dialogues)];
  return [...latencies, ...small.figures, ...large.figures, lost(small.recall, large.recall)];
}

/** Returns the distinct words, most frequent first. */
function vocabularyOf(dialogues: Dialogue[]): string[] {
  const counts = new Map<string, number>();
  for (const { messages } of dialogues)
    for (const { text } of messages)
      for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([word]) => word);
}

async function quality(world: World, tenant: string, dialogues: Dialogue[]): Promise<{ recall: number; figures: Figure[] }> {
  const { url } = await world.daemon('one');
  const response = await fetch(`${url}/auth/api-keys`, {
    method: 'POST',
    headers: { ...(await world.tenant(tenant)), 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'recall', role: 'member', scopes: ['read', 'write'], user_id: '*' }),
  });
  if (response.status !== 201) throw new Error(`api key: ${response.status} ${await response.text()}`);
  const { api_key } = (await response.json()) as { api_key: string };
  const { measured } = await measureService(
    dialogues,
    [BUDGET],
    { url, api_key, configuration: { name: tenant } },
    () => undefined,
  );
  const among = `among ${tenant === 't4' ? '10⁴' : '10⁶'} passages`;
  const [recall, carried] = [meanOf(measured, 'R@10')!, meanOf(measured, `in ${BUDGET} tokens`)!];
  const note = `${measured.length} questions on ${dialogues.length} dialogues`;
  return {
    recall,
    figures: [
      { part: 'recall', name: `recall@10 ${among}`, value: 100 * recall, unit: '%', note },
      { part: 'recall', name: `evidence in a context of 2,048 tokens ${among}`, value: 100 * carried, unit: '%', note },
    ],
  };
}

const lost = (small: number, large: number): Figure => ({
  part: 'recall',
  name: 'recall@10 lost from 10⁴ to 10⁶ passages',
  value: 100 * (small - large),
  unit: 'points',
  goal: { max: 3 },
});
