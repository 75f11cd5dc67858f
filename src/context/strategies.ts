import { strategyNames } from '../context_settings.ts';
import type { Item, Layout, SectionName } from './pack.ts';

// A strategy divides the budget of a context by its purpose. docs/context.md describes each strategy, with its measured recall.

export type StrategyName = (typeof strategyNames)[number];

export interface Strategy {
  /** Shares of the budget in the first pass. A section that does not use its share releases the rest. */
  shares: Record<SectionName, number>;
  /** True if the context has a profile even if its query has search terms. */
  profile: boolean;
  /** Reorders the evidence, which is best first. */
  arrange(evidence: Item[]): Item[];
}

const SHARES: Record<SectionName, number> = {
  rules: 0.1,
  profile: 0.15,
  task_state: 0.1,
  handoff: 0.1,
  decisions: 0.15,
  recent_window: 0.15,
  retrieved_evidence: 0.3,
  capsules: 0.1,
};

/** The layout of a context whose request names neither a strategy nor sections. */
export const defaultLayout: Layout = { shares: SHARES, caps: {} };

const asRanked = (evidence: Item[]) => evidence;

/** Returns the items that match, then the others, each in their order. */
const first = (matches: (item: Item) => boolean) => (evidence: Item[]) => [
  ...evidence.filter(matches),
  ...evidence.filter((item) => !matches(item)),
];

/** Takes the best item of each session in turn, so that one session does not fill the evidence. */
function bySession(evidence: Item[]): Item[] {
  const rounds: Item[][] = [];
  const counts = new Map<string, number>();
  for (const item of evidence) {
    const round = counts.get(item.session ?? '') ?? 0;
    counts.set(item.session ?? '', round + 1);
    rounds[round] = [...(rounds[round] ?? []), item];
  }
  return rounds.flat();
}

const isClaim = ({ type }: Item) => ['fact', 'note', 'summary', 'preference'].includes(type);
const isToolOutput = ({ toolPart, callOnly }: Item) => toolPart !== undefined || callOnly !== undefined;

/** Returns the strategy that a request names. Other intents than strategies leave the default. */
export function strategyOf(
  { intent, retrieval_strategy }: { intent?: string | undefined; retrieval_strategy?: string | undefined },
  byDefault: StrategyName,
): StrategyName {
  const named = (retrieval_strategy ?? intent)?.toLowerCase();
  return strategyNames.find((name) => name === named) ?? byDefault;
}

export const strategies: Record<StrategyName, Strategy> = {
  balanced: { shares: SHARES, profile: false, arrange: asRanked },
  continue: {
    shares: { ...SHARES, task_state: 0.2, handoff: 0.15, recent_window: 0.25, retrieved_evidence: 0.15, capsules: 0.05 },
    profile: true,
    arrange: asRanked,
  },
  task: {
    shares: { ...SHARES, rules: 0.15, task_state: 0.2, decisions: 0.25, retrieved_evidence: 0.2, recent_window: 0.1 },
    profile: false,
    arrange: asRanked,
  },
  debug: {
    shares: { ...SHARES, task_state: 0.05, decisions: 0.1, recent_window: 0.25, retrieved_evidence: 0.4, capsules: 0.05 },
    profile: false,
    arrange: first(isToolOutput),
  },
  explore: {
    shares: { ...SHARES, task_state: 0.05, recent_window: 0.1, retrieved_evidence: 0.5, capsules: 0.05 },
    profile: false,
    arrange: bySession,
  },
  learn: {
    shares: { ...SHARES, task_state: 0.05, decisions: 0.2, recent_window: 0.1, retrieved_evidence: 0.4, capsules: 0.05 },
    profile: true,
    arrange: first(isClaim),
  },
};
