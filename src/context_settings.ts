import { z } from 'zod';
import { setting, whole } from './setting_types.ts';

// Settings of the group "Context"; src/settings.ts includes them.

/** The purposes of a context, which src/context/strategies.ts defines. */
export const strategyNames = ['balanced', 'continue', 'task', 'debug', 'explore', 'learn'] as const;

export const contextSettings = {
  TOKENIZER: setting(
    z.enum(['o200k_base', 'cl100k_base']),
    'o200k_base',
    'Context',
    'encoding in which the tokens of context budgets are counted',
  ),
  CONTEXT_MAX_TOKENS: setting(whole(256, 200_000), '65000', 'Context', 'budget of a context whose request has no `max_tokens`'),
  CONTEXT_STRATEGY: setting(z.enum(strategyNames), 'balanced', 'Context', 'strategy of a context whose request names none'),
  CONTEXT_L1_SIZE: setting(
    whole(0, 200),
    '60',
    'Context',
    'maximum number of recent events of its session that a context considers',
  ),
  CONTEXT_L2_SIZE: setting(
    whole(0, 500),
    '200',
    'Context',
    'maximum number of recent messages of the user or project from which the topics and people of a profile come',
  ),
};
const fields = z.object(contextSettings);
export type ContextConfig = Readonly<z.output<typeof fields>>;
