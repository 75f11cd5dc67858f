import type { Tally } from '../feature.ts';
import { Problem } from '../http/problem.ts';
import type { Metrics } from '../metrics/index.ts';
import type { Link } from './evaluate.ts';
import type { Judged } from './write.ts';

/** The codes of refusals, each with a series from the start. */
const BLOCKS = [
  'AGENT_KILLED',
  'MANDATE_EXPIRED',
  'MANDATE_SUSPENDED',
  'TOOL_DENIED',
  'TOOL_NOT_ALLOWED',
  'UNKNOWN_TOOL',
  'ARGUMENT_VALIDATION_FAILED',
  'COST_LIMIT_EXCEEDED',
  'RATE_LIMIT_EXCEEDED',
  'DUPLICATE_ACTION',
] as const;
const SHARES = [0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1];

export interface ActionFigures {
  /** Counts the result of an authorisation under this chain, and passes it on. Repetitions are not counted. */
  checked(links: Link[], judged: Promise<Judged>): Promise<Judged>;
  /** Counts a settlement, and passes it on. Repetitions are not counted. */
  settled(outcome: 'success' | 'failure', judged: Promise<Judged>): Promise<Judged>;
}

export function actionFigures(metrics: Pick<Metrics, 'counter' | 'histogram'>): ActionFigures {
  const checks = metrics.counter('action_checks_total', 'Authorisations that were answered', ['decision']);
  for (const decision of ['allow', 'defer', 'refuse']) checks({ decision }, 0);
  const blocks = metrics.counter('action_blocks_total', 'Refused authorisations', ['code']);
  for (const code of BLOCKS) blocks({ code }, 0);
  const settlements = metrics.counter('action_settlements_total', 'Settled actions', ['outcome', 'code']);
  for (const outcome of ['success', 'failure']) settlements({ outcome, code: 'none' }, 0);
  const used = metrics.histogram(
    'budget_used_ratio',
    'Share of the budget that is spent or reserved after an authorisation',
    SHARES,
  );

  function countRefusal(error: unknown): void {
    const code = BLOCKS.find((one) => error instanceof Problem && error.members.code === one);
    if (code === undefined) return;
    checks({ decision: 'refuse' });
    blocks({ code });
  }

  return {
    checked: async (links, judged) => {
      try {
        const { answer, replay } = await judged;
        if (!replay) {
          checks({ decision: `${answer.decision}` });
          const share = shareUsed(links, answer.remaining_micros);
          if (share !== undefined) used(share);
        }
      } catch (error) {
        countRefusal(error);
      }
      return judged;
    },
    settled: async (outcome, judged) => {
      const { answer, replay } = await judged;
      if (!replay) settlements({ outcome, code: `${answer.code ?? 'none'}` });
      return judged;
    },
  };
}

/** Returns the share of the lowest limit of a chain that no further action can use; undefined without a limit. */
function shareUsed(links: Link[], remaining: unknown): number | undefined {
  const limits = links.flatMap(({ definition: { max_cost_total_micros: limit } }) => limit ?? []);
  const limit = Math.min(...limits);
  return typeof remaining === 'number' && limits.length > 0 && limit > 0 ? 1 - remaining / limit : undefined;
}

const count = (name: string, help: string): Tally => ({ name, help, of: (tallies) => tallies[name] });
const mean =
  (name: string, divisor: number) =>
  ({ mandates_limited: limited = 0, ...tallies }: Record<string, number>) =>
    limited === 0 ? undefined : (tallies[name] ?? 0) / limited / divisor;

/** Figures of all tenants, from the hook `mandates_tally`. */
export const tallies: Tally[] = [
  count('mandates_active', 'Mandates that may be used'),
  count('mandates_suspended', 'Mandates that are suspended until an admin confirms a restore or an import'),
  count('mandates_mostly_used', 'Mandates with 80 % to less than 100 % of their budget spent or reserved'),
  count('mandates_used_up', 'Mandates whose budget is spent or reserved'),
  count('actions_open', 'Actions that are not settled'),
  count('actions_overdue', 'Open actions that were not settled before they expired'),
  { name: 'mandates_budget_mean', help: 'Mean budget of a mandate, in units of its currency', of: mean('mandates_budget', 1) },
  {
    name: 'mandates_used_mean_ratio',
    help: 'Mean share of the budget of a mandate that is spent or reserved',
    of: mean('mandates_used_permille', 1000),
  },
];
