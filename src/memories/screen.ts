import type { Screener } from '../secrets/index.ts';
import type { State } from './state.ts';

/** A memory as it may be stored. One that held a secret is `secret` from now on: found by its id, and never searched, listed or loaded. */
export function screened(state: State, screener: Screener, pointer: string): State {
  const { memory_id, text, body, tags, metadata, session_id, user_id, agent_id, project_id, supersedes, refs, origin } = state;
  screener.refuseIds({ session_id, user_id, agent_id, project_id, supersedes, 'actor/id': origin.id }, pointer);
  if (refs.length > 0) screener.refuseIds(Object.fromEntries(refs.map((ref, i) => [i, ref])), `${pointer}/refs`);
  const { value, secret, sealed } = screener.screen({ text, body, tags, metadata }, { pointer, aad: memory_id });
  return { ...state, ...value, ...(secret && { sensitivity: 'secret' }), ...(sealed && { sealed }) };
}
