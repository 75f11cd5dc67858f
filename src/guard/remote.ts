import { setTimeout as sleep } from 'node:timers/promises';
import { definitionOf } from './definition.ts';
import { followKills } from './kills.ts';
import type { Mandate } from './mandate.ts';
import type {
  Authorised,
  Backend,
  BackendEvents,
  Blocked,
  ServiceConfig,
  ServiceStateManager,
  Settlement,
  SettleRequest,
  Usage,
} from './state_manager.ts';
import { type Answer, createTransport, problemOf, type Transport } from './transport.ts';

// Remote mode: the service decides, counts and charges. A key with the scope `write` suffices.

const DECISION_POLL_MS = 1_000;

interface Connection {
  transport: Transport;
  killPollMs: number;
  /** Aborted when the manager is closed. */
  signal: AbortSignal;
}

/** Throws TypeError if the address or the key of the service is missing. */
export function createServiceStateManager(config: ServiceConfig): ServiceStateManager {
  const closing = new AbortController();
  const connection = { transport: transportOf(config), killPollMs: config.killPollMs ?? 1_000, signal: closing.signal };
  return {
    type: 'service',
    backendFor: (mandate, events) => backendOf(mandate, connection, events),
    close: async () => closing.abort(),
  };
}

function transportOf({ type, url, apiKey, commandTimeout, maxRetries, redis = {} }: ServiceConfig): Transport {
  if (!url || !/^https?:\/\//.test(url) || !apiKey)
    throw new TypeError(
      `stateManager: { type: "${type}" } needs \`url\` (http or https) and \`apiKey\` of the service. The budgets are in the service; its Redis is a setting of the service`,
    );
  return createTransport({
    ...{ url, apiKey },
    commandTimeout: commandTimeout ?? redis.commandTimeout ?? 5_000,
    maxRetries: maxRetries ?? redis.maxRetries ?? 5,
  });
}

/** Creates the mandate at the service and returns its id. The key needs the role and the scope `admin`. */
export async function registerMandate(mandate: Mandate, config: Omit<ServiceConfig, 'type'>): Promise<string> {
  const { id, agentId, principal, expiresAt } = mandate;
  const body = {
    ...{ agent_id: agentId, ...definitionOf(mandate) },
    ...(id !== undefined && { mandate_id: id }),
    ...(principal !== undefined && { principal }),
    ...(expiresAt !== undefined && { expires_at: new Date(expiresAt).toISOString() }),
  };
  const transport = transportOf({ ...config, type: 'service' });
  const answer = await transport.send('POST', '/v1/mandates', body, new AbortController().signal);
  if (answer.status !== 201) throw problemOf(answer);
  return String(answer.body.mandate_id);
}

function backendOf({ id, agentId }: Mandate & { id: string }, connection: Connection, { error }: BackendEvents): Backend {
  const closing = new AbortController();
  const signal = AbortSignal.any([connection.signal, closing.signal]);
  const { transport } = connection;
  const mandate = `/v1/mandates/${encodeURIComponent(id)}`;
  const agent = `/v1/agents/${encodeURIComponent(agentId)}`;
  const actionPath = (action_id: string) => `${mandate}/actions/${encodeURIComponent(action_id)}`;
  const read = async (path: string) => expectStatus(await transport.send('GET', path, undefined, signal), 200);
  const settle = async (action_id: string, body: SettleRequest): Promise<Settlement> => {
    const answer = await transport.send('POST', `${actionPath(action_id)}/settle`, body, signal);
    if (answer.status === 422 && body.tokens) {
      error(new Error(`the mandate ${id} has no price for the model, so the action ${action_id} is charged its estimate`));
      const { tokens, ...rest } = body;
      return settle(action_id, rest);
    }
    return expectStatus(answer, 200) as unknown as Settlement;
  };
  let checked = false;
  /** Kills are about the agent in the code, so it must be that of the mandate. */
  const prepare = async () => {
    if (checked) return;
    const answer = await transport.send('GET', mandate, undefined, signal);
    // the authorisation is refused in the same way
    if (answer.body.code === 'AGENT_KILLED') return;
    const { agent_id } = expectStatus(answer, 200);
    if (agent_id !== agentId) throw new TypeError(`the mandate ${id} belongs to the agent ${agent_id}, not to ${agentId}`);
    checked = true;
  };
  return {
    prepare,
    authorise: async (body) => authorisedBy(await transport.send('POST', `${mandate}/actions`, body, signal)),
    decisionOn: async (action_id) => {
      for (let since = Date.now(); ; ) {
        const asked = Date.now();
        const { decision, state } = await read(actionPath(action_id));
        if (decision === 'deny') return denied('an admin denied the action');
        if (state !== 'open') return denied('the action was not decided in time');
        if (decision === 'allow') return { since };
        since = asked;
        await sleep(DECISION_POLL_MS, undefined, { signal });
      }
    },
    settle,
    usage: async () => (await read(mandate)).usage as Usage,
    isKilled: async () => {
      const answer = await transport.send('GET', agent, undefined, signal);
      if (answer.status === 403 && answer.body.code === 'AGENT_KILLED') return true;
      return expectStatus(answer, 200).state === 'killed';
    },
    kill: async (reason) => {
      const answer = await transport.send('POST', `${agent}/kill`, reason === undefined ? {} : { reason }, signal);
      if (answer.body.code !== 'AGENT_KILLED') expectStatus(answer, 200);
    },
    resurrect: () => {
      throw new Error(`only an admin who is logged in can resurrect an agent: POST ${agent}/resurrect`);
    },
    onKill: async (killed) => {
      await prepare();
      await new Promise<void>((resolve, reject) => {
        // ends without an error when the client is closed
        void followKills({ agentId, transport, signal, pollMs: connection.killPollMs, killed, error }, resolve).then(
          resolve,
          reject,
        );
      });
    },
    close: () => closing.abort(),
  };
}

const denied = (reason: string): Blocked => ({ code: 'TOOL_DENIED', reason, hard: true });

function authorisedBy(answer: Answer): Authorised | Blocked {
  const { status, headers, body } = answer;
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  if (typeof body.code === 'string' && status >= 400)
    return {
      ...{ code: body.code as Blocked['code'], reason: String(body.detail), hard: body.hard !== false },
      ...(!Number.isNaN(retryAfter) && { retryAfterMs: retryAfter * 1_000 }),
    };
  if (status !== 201 && status !== 202) throw problemOf(answer);
  if (headers.get('action-repeated') === 'true')
    return { code: 'DUPLICATE_ACTION', reason: 'the action id was used before', hard: true };
  return body as unknown as Authorised;
}

function expectStatus(answer: Answer, status: number): Record<string, unknown> {
  if (answer.status !== status) throw problemOf(answer);
  return answer.body;
}
