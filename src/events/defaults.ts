import { actorOf, agentOf, type Principal } from '../auth/index.ts';
import type { EventInput, NewEvent } from './schemas.ts';

/** An event with all that its request left out: `text` stands for `content.text`, and who calls is who did it. */
export function applyDefaults(principal: Principal, { text, actor, content, ...rest }: EventInput): NewEvent {
  const agent_id = agentOf(principal, rest.agent_id);
  return {
    ...rest,
    ...(agent_id !== undefined && { agent_id }),
    content: text === undefined ? content : { ...content, text },
    actor: actorOf(principal, agent_id, actor),
  } as NewEvent;
}
