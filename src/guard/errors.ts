import type { Action } from './action.ts';

export type BlockCode =
  | 'TOOL_NOT_ALLOWED'
  | 'TOOL_DENIED'
  | 'COST_LIMIT_EXCEEDED'
  | 'RATE_LIMIT_EXCEEDED'
  | 'MANDATE_EXPIRED'
  | 'MANDATE_SUSPENDED'
  | 'AGENT_KILLED'
  | 'UNKNOWN_TOOL'
  | 'DUPLICATE_ACTION'
  | 'VERIFICATION_FAILED'
  | 'ARGUMENT_VALIDATION_FAILED'
  | 'EXECUTION_TIMEOUT'
  | 'VERIFICATION_TIMEOUT';

export interface BlockDecision {
  type: 'BLOCK';
  code: BlockCode;
  reason: string;
  /** False only for rate limits, after which the same action can succeed. */
  hard: boolean;
  retryAfterMs?: number;
}

/** An action was refused, or its result does not count. */
export class MandateBlockedError extends Error {
  readonly code: BlockCode;
  readonly reason: string;
  readonly agentId: string;
  readonly action: Action;
  readonly decision: BlockDecision;

  constructor(action: Action, { code, reason, hard, retryAfterMs }: Omit<BlockDecision, 'type'>) {
    super(`${code}: ${reason}`);
    this.name = 'MandateBlockedError';
    this.code = code;
    this.reason = reason;
    this.agentId = action.agentId;
    this.action = action;
    this.decision = { type: 'BLOCK', code, reason, hard, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
}

/** The service could not be reached, or rejected a request for another reason than the mandate. Nothing was executed. */
export class MandateServiceError extends Error {
  /** Status of the response; undefined if there was none. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, { cause });
    this.name = 'MandateServiceError';
    this.status = status;
  }
}
