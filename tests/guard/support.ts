import { createToolAction, type Mandate, MandateBlockedError, registerMandate } from '../../src/guard/index.ts';
import { type Client, newName } from '../support/client.ts';

/** Creates an API key. Alone, the scope `write` must suffice. */
export async function apiKey(owner: Client, more: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await owner.request('POST', '/auth/api-keys', {
    body: { name: 'agent', role: 'member', scopes: ['write'], ...more },
  });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body.api_key;
}

/** Registers a mandate as the admin, and returns it with the configuration of an agent that acts under it. */
export async function registered(owner: Client, terms: Partial<Mandate> = {}) {
  const mandate = { id: newName('mandate'), agentId: 'planner', ...terms };
  const admin = await apiKey(owner, { role: 'admin', scopes: ['read', 'write', 'admin'] });
  await registerMandate(mandate, { url: owner.url, apiKey: admin });
  return { mandate, stateManager: { type: 'redis' as const, url: owner.url, apiKey: await apiKey(owner) } };
}

export const call = (cost?: number, tool = 'read_file', id?: string, args = {}) =>
  createToolAction('planner', tool, args, cost, id);
export const pass = async () => 'done';

/** Returns the code of a refusal, or `ALLOW`. */
export const codeOf = (execution: Promise<unknown>): Promise<string> =>
  execution.then(
    () => 'ALLOW',
    (error: MandateBlockedError) => {
      if (!(error instanceof MandateBlockedError)) throw error;
      return error.code;
    },
  );

/** Returns the usage of a mandate as its owner reads it. */
export async function usageOf(owner: Client, { id }: Mandate): Promise<Record<string, number>> {
  return (await owner.request('GET', `/v1/mandates/${id}`)).body.usage;
}
