import { hash } from 'node:crypto';
import type { Format, Message } from '../follow/index.ts';
import type { StateObject } from '../state/index.ts';

// Translates objects and changes of state into those of AgentState.

/** The tag that holds the type of an object, which state does not have. */
export const TYPE_TAG = 'agentstate:type';

export type AgentObject = ReturnType<typeof agentObjectOf>;

/** Returns an object as AgentState shows it. `commit` names the version; its clients know the time of the commit under two names. */
export function agentObjectOf({ namespace: ns, key: id, tags: all, ...object }: StateObject) {
  const { [TYPE_TAG]: type = '', ...tags } = all;
  const { body, version, commit_seq, updated_at } = object;
  return {
    ...{ id, ns, type, body, tags, ttl_seconds: ttlOf(object), parents: [] as string[] },
    commit: hash('sha256', JSON.stringify([ns, id, version])),
    ...{ ts: updated_at, commit_ts: updated_at, commit_seq },
  };
}

function ttlOf({ expires_at, updated_at }: Pick<StateObject, 'expires_at' | 'updated_at'>): number | null {
  return expires_at === undefined ? null : Math.round((Date.parse(expires_at) - Date.parse(updated_at)) / 1000);
}

/** Returns the object with only these members of its body. */
export function withFields(object: AgentObject, fields: string[]): AgentObject {
  if (typeof object.body !== 'object' || object.body === null || Array.isArray(object.body)) return object;
  return { ...object, body: Object.fromEntries(Object.entries(object.body).filter(([name]) => fields.includes(name))) };
}

/** Returns the data of a change. An expiry is a deletion, because AgentState has no other event for it. */
export function changeOf({ event, seq: commit_seq, data }: Message): object {
  if (event === 'put') return { type: 'put', obj: agentObjectOf(data as StateObject), commit_seq };
  const { namespace: ns, key: id } = data as StateObject;
  return { type: 'delete', ns, id, commit_seq };
}

/**
 * The form of its watch. `data` precedes `id`: the Python client takes the position from `id` and then skips data that is not after it, so with
 * the other order it would yield nothing.
 */
export const format: Format = {
  message: ({ seq, data }) => `data: ${JSON.stringify(data)}\nid: ${seq}\n\n`,
  overflow: (last_seq) => `data: ${JSON.stringify({ error: 'overflow', last_commit: last_seq })}\nid: ${last_seq}\n\n`,
};
