import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { loadConfig } from '../src/config.ts';
import { startDaemon } from '../src/daemon.ts';
import { startupMessage } from '../src/startup_error.ts';
import { readDialogues } from './eval/dialogues.ts';
import { pageOf } from './eval/page.ts';
import { reportOf, tableOf } from './eval/report.ts';
import { measureBm25, measureService } from './eval/run.ts';

// `npm run eval`: measures how well search and context find the evidence for questions on the user's own dialogues. docs/eval.md

const configuration = z.strictObject({
  name: z.string().min(1).optional(),
  url: z.url().optional(),
  api_key: z.string().min(1).optional(),
  settings: z.looseObject({}).optional(),
  search: z.looseObject({}).optional(),
  context: z.looseObject({}).optional(),
});

function readConfiguration(text: string) {
  try {
    return configuration.parse(JSON.parse(text.trimStart().startsWith('{') ? text : readFileSync(text, 'utf8')));
  } catch (error) {
    throw new InvalidArgumentError(`must be a configuration as JSON, or its file: ${(error as Error).message}`);
  }
}

function readBudgets(text: string): number[] {
  const budgets = text.split(',').map(Number);
  if (budgets.every((budget) => Number.isInteger(budget) && budget >= 256 && budget <= 200_000)) return budgets;
  throw new InvalidArgumentError('must be integers from 256 to 200000, separated by commas');
}

interface Options {
  file: string;
  url?: string;
  config: z.output<typeof configuration>;
  compare?: z.output<typeof configuration>;
  tokens: number[];
  html?: string;
  json?: boolean;
}

new Command('npm run eval --')
  .description(
    'Measures how well search and context find the evidence for questions on your own dialogues, compared with plain BM25.',
  )
  .requiredOption('--file <dialogues.json>', 'dialogues with questions, in the format of docs/eval.md')
  .option('--url <url>', 'a running daemon (BASE_URL); by default an embedded one is started for the run', process.env.BASE_URL)
  .option('--config <json|file>', 'settings and parameters of the first system', readConfiguration, {})
  .option('--compare <json|file>', 'a second system, compared with the first', readConfiguration)
  .option('--tokens <list>', 'budgets of the contexts, in tokens', readBudgets, [512, 1024, 2048, 4096])
  .option('--html <file>', 'write a page with tables and plots')
  .option('--json', 'print the figures as JSON')
  .action(run)
  .parseAsync()
  .catch((error: unknown) => {
    console.error(`error: ${startupMessage(error)}`);
    process.exitCode = 1;
  });

async function run({ file, url, config, compare, tokens, html, json }: Options): Promise<void> {
  const dialogues = readDialogues(file);
  const log = (line: string) => console.error(line);
  const systems = [
    { ...config, name: config.name ?? 'agent-memory' },
    ...(compare ? [{ ...compare, name: compare.name ?? 'compared' }] : []),
  ];
  const needsDaemon = url === undefined && systems.some((system) => system.url === undefined);
  const daemon = needsDaemon ? await startEmbedded(log) : undefined;
  try {
    const results = [await measureBm25(dialogues, tokens)];
    for (const system of systems) {
      const address = system.url ?? url ?? daemon!.url;
      // a key belongs to one service, and no other may see it
      const api_key = system.api_key ?? (address === url ? process.env.AGENT_MEMORY_KEY : undefined);
      const target = { url: address, api_key, configuration: system };
      log(`Measuring ${system.name} at ${target.url} …`);
      results.push(await measureService(dialogues, tokens, target, log));
    }
    const report = reportOf(results, tokens);
    console.log(json ? JSON.stringify(report, null, 2) : tableOf(report));
    if (html) {
      const about = { file: basename(file), made_at: new Date().toISOString() };
      writeFileSync(html, pageOf(report, results, tokens, about));
      log(`Wrote ${html}.`);
    }
  } finally {
    await daemon?.stop();
  }
}

/** Starts a daemon with the default settings on an embedded database that is deleted afterwards. */
async function startEmbedded(log: (line: string) => void): Promise<{ url: string; stop(): Promise<void> }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'agent-memory-eval-'));
  const removeData = () => rmSync(dataDir, { recursive: true, force: true });
  log('Starting on an embedded database (the first start takes some seconds) …');
  const config = { DATA_DIR: dataDir, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'error', RATE_LIMIT_ENABLED: 'false' };
  try {
    const daemon = await startDaemon(loadConfig(config));
    const stop = async () => {
      await daemon.stop();
      removeData();
    };
    return { url: daemon.url, stop };
  } catch (error) {
    removeData();
    throw error;
  }
}
