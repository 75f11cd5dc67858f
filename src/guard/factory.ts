import { createMemoryStateManager } from './memory.ts';
import { createServiceStateManager } from './remote.ts';
import type { MemoryConfig, MemoryStateManager, ServiceConfig, ServiceStateManager } from './state_manager.ts';

export type StateManager = MemoryStateManager | ServiceStateManager;
export type StateManagerOption = StateManager | MemoryConfig | ServiceConfig;

/** Returns the state manager itself, or the one that its configuration describes. */
export function createStateManager(option: StateManagerOption = { type: 'memory' }): StateManager {
  if ('backendFor' in option) return option;
  return option.type === 'memory' ? createMemoryStateManager() : createServiceStateManager(option);
}

/** Returns a state manager that several clients share: that of the service at this address. */
export const createDistributedStateManager = (
  url: string | undefined,
  config: Omit<ServiceConfig, 'type' | 'url'> = {},
): ServiceStateManager => createServiceStateManager({ ...config, type: 'service', ...(url !== undefined && { url }) });
