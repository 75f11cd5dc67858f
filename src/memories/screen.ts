import { type AsyncScreener, countRedactionMarks } from '../secrets/index.ts';
import type { State } from './state.ts';

/** Returns the memory with secrets redacted. `redactions` counts the spans redacted now and those whose marks remain from earlier versions. */
export async function screened(state: State, screener: AsyncScreener, pointer: string): Promise<State> {
  const { memory_id, text, body, tags, metadata, session_id, user_id, agent_id, project_id, supersedes, refs, origin } = state;
  screener.refuseIds({ session_id, user_id, agent_id, project_id, supersedes, 'actor/id': origin.id }, pointer);
  if (refs.length > 0) screener.refuseIds(Object.fromEntries(refs.map((ref, i) => [i, ref])), `${pointer}/refs`);
  const free = { text, body, tags, metadata };
  const { value, redactions: cut, sealed } = await screener.screenAsync(free, { pointer, aad: memory_id });
  const { redactions: earlier, ...rest } = state;
  const redactions = cut + (earlier ? Math.min(earlier, countRedactionMarks(free)) : 0);
  return { ...rest, ...value, ...(redactions > 0 && { redactions }), ...(sealed && { sealed }) };
}
