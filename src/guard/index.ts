// The sub-path export `agent-memory/guard`, for the code of agents. See docs/guard.md.

export {
  type Action,
  calculateMaxOutputTokens,
  createLLMAction,
  createToolAction,
  estimateTokens,
  estimateTokensFromMessages,
  type LLMCall,
  type TokenUsage,
  type ToolCall,
} from './action.ts';
export {
  type AuditEntry,
  type AuditLogger,
  type AuditOption,
  ConsoleAuditLogger,
  FileAuditLogger,
  MemoryAuditLogger,
  MultiAuditLogger,
  NoOpAuditLogger,
} from './audit.ts';
export { type Answer, MandateClient, type MandateClientOptions, type WrapOptions } from './client.ts';
export { type BlockCode, type BlockDecision, MandateBlockedError, MandateServiceError } from './errors.ts';
export type { ActionContext, ExecuteOptions } from './execution.ts';
export { createDistributedStateManager, createStateManager, type StateManager, type StateManagerOption } from './factory.ts';
export {
  type ArgumentValidation,
  type ChargingContext,
  type ChargingPolicy,
  createMandate,
  type Mandate,
  type MandateOptions,
  MandateTemplates,
  type ModelPricing,
  type ProviderPricing,
  type RateLimit,
  type ToolPolicy,
  type Verification,
} from './mandate.ts';
export { registerMandate } from './remote.ts';
export type { MemoryConfig, ServiceConfig } from './state_manager.ts';
