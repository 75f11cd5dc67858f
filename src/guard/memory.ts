import { isDeepStrictEqual } from 'node:util';
import type { ArgsCheck } from '../mandates/args_size.ts';
import { definitionOf } from './definition.ts';
import { createLedger, type Ledger } from './ledger.ts';
import type { Mandate } from './mandate.ts';
import type { Backend, MemoryStateManager } from './state_manager.ts';

// Embedded mode: the state of this process. It has no other daemon to agree with, so every step is synchronous and therefore exact.

type Known = Ledger & { agentId: string; definition: object; expiresAt: number | undefined; prepare(): Promise<void> };

interface Kills {
  /** The killed agents with the reason. */
  reasons: Map<string, string>;
  listeners: Set<(agentId: string, reason: string) => void>;
}

export function createMemoryStateManager(): MemoryStateManager {
  const ledgers = new Map<string, Known>();
  const kills: Kills = { reasons: new Map(), listeners: new Set() };
  return {
    type: 'memory',
    backendFor: (mandate) => {
      const known = ledgers.get(mandate.id);
      const ledger = known ?? ledgerOf(mandate);
      if (known && !hasTermsOf(known, mandate)) throw new Error(`the mandate ${mandate.id} exists with other terms`);
      ledgers.set(mandate.id, ledger);
      const end = () => {
        for (const one of ledgers.values()) if (one.agentId === mandate.agentId) one.expireOpen();
      };
      return backendOf(mandate.agentId, ledger, kills, end);
    },
    close: async () => {
      ledgers.clear();
      kills.reasons.clear();
      kills.listeners.clear();
    },
  };
}

const hasTermsOf = ({ agentId, definition, expiresAt }: Known, mandate: Mandate) =>
  agentId === mandate.agentId && isDeepStrictEqual(definition, definitionOf(mandate)) && expiresAt === mandate.expiresAt;

function ledgerOf(mandate: Mandate): Known {
  const definition = definitionOf(mandate);
  const policies = Object.entries(definition.tool_policies ?? {});
  if (policies.some(([, { require_approval }]) => require_approval))
    throw new TypeError('requireApproval needs the service: embedded mode has nobody who could decide');
  const { agentId, expiresAt } = mandate;
  const checks = new Map<string, ArgsCheck>();
  const ledger = createLedger({ definition, expiresAt, argsCheckOf: (pattern) => checks.get(pattern) });
  const prepare = async () => {
    const missing = policies.filter(([pattern, { args_schema }]) => args_schema && !checks.has(pattern));
    if (missing.length === 0) return;
    // only here, because the library for JSON schemas takes longer to load than the rest of the guard
    const { compileSchema } = await import('../mandates/args_schema.ts');
    for (const [pattern, { args_schema }] of missing) checks.set(pattern, compileSchema(args_schema));
  };
  return { ...ledger, agentId, definition, expiresAt, prepare };
}

/** `end`: ends the open actions of the agent. */
function backendOf(agentId: string, ledger: Known, { reasons, listeners }: Kills, end: () => void): Backend {
  const own: ((agentId: string, reason: string) => void)[] = [];
  return {
    prepare: ledger.prepare,
    authorise: (body) => ledger.authorise(body, reasons.has(agentId)),
    decisionOn: () => Promise.reject(new Error('no action of embedded mode waits for a decision')),
    settle: ledger.settle,
    usage: ledger.usage,
    isKilled: () => reasons.has(agentId),
    kill: (reason = 'killed') => {
      reasons.set(agentId, reason);
      end();
      for (const listener of listeners) listener(agentId, reason);
    },
    resurrect: () => void reasons.delete(agentId),
    onKill: async (listener) => {
      const heard = (killed: string, reason: string) => {
        if (killed === agentId) listener(reason);
      };
      own.push(heard);
      listeners.add(heard);
      if (reasons.has(agentId)) listener(reasons.get(agentId)!);
    },
    close: () => {
      for (const listener of own) listeners.delete(listener);
    },
  };
}
