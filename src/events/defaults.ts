import { actorOf, agentOf, type Principal } from '../auth/index.ts';
import type { EventInput, NewEvent } from './schemas.ts';

/** Applies the defaults of a request: `text` becomes `content.text`, and the caller becomes the actor. */
export function applyDefaults(principal: Principal, { text, actor, content, ...rest }: EventInput): NewEvent {
  const agent_id = agentOf(principal, rest.agent_id);
  return {
    ...rest,
    ...(agent_id !== undefined && { agent_id }),
    content: text === undefined ? content : { ...content, text },
    actor: actorOf(principal, agent_id, actor),
  } as NewEvent;
}
