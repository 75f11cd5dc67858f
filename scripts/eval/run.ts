import { openBm25 } from './bm25.ts';
import type { Dialogue, Question } from './dialogues.ts';
import { type Configuration, openService } from './measured_daemon.ts';
import { type Answer, type Measured, measure } from './measures.ts';

/** One system with its answers to all questions, in the order of the file. */
export interface Result {
  name: string;
  measured: Measured[];
}

type Ask = (question: Question) => Promise<Answer> | Answer;

async function measureAll(
  name: string,
  dialogues: Dialogue[],
  open: (dialogue: Dialogue) => Promise<Ask> | Ask,
): Promise<Result> {
  const measured: Measured[] = [];
  for (const dialogue of dialogues) {
    const request = await open(dialogue);
    // unmeasured, so that no latency contains what only the first request costs
    await request(dialogue.questions[0]!);
    for (const question of dialogue.questions) measured.push(measure(question, await request(question)));
  }
  return { name, measured };
}

export const measureBm25 = (dialogues: Dialogue[], budgets: number[]): Promise<Result> =>
  measureAll('BM25', dialogues, (dialogue) => openBm25(dialogue, budgets));

/** Measures a daemon. `log` gets what is left on it. */
export async function measureService(
  dialogues: Dialogue[],
  budgets: number[],
  { url, api_key, configuration }: { url: string; api_key: string | undefined; configuration: Configuration & { name: string } },
  log: (line: string) => void,
): Promise<Result> {
  const service = await openService(url, api_key, configuration);
  try {
    return await measureAll(configuration.name, dialogues, (dialogue) => service.open(dialogue, budgets));
  } finally {
    const left = await service.close();
    if (left) log(left);
  }
}
