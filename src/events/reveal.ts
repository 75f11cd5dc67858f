import { type Caller, isAdmin, type Principal } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { SealBroken, type Sealed } from '../seal.ts';
import type { Secrets } from '../secrets/index.ts';
import type { Event } from './schemas.ts';

/** Returns the original event, decrypted from its sealed copy; the stored event if it has none. */
export function reveal({ principal }: Caller, event: Event, secrets: Secrets): Event {
  if (!isAdmin(principal) && !isSubjectOrAuthor(principal, event))
    throw new Problem('forbidden', 'Only admins, the subject of the event and its human author may see its secrets.');
  const { sealed } = event.content as { sealed?: Sealed };
  if (typeof sealed?.kid !== 'string') return event;
  const { sealed: _, ...content } = event.content;
  const ofMemory = event.kind.startsWith('memory.');
  const text = openSealed(secrets, principal.tenant_id, sealed, ofMemory ? String(content.memory_id) : event.event_id);
  const original = JSON.parse(text) as string | Record<string, unknown>;
  // an upload, whose event never contained the text
  if (typeof original === 'string') return { ...event, content: { ...content, text: original } };
  // the original of state has members of the content
  if (event.kind === 'state.put') return { ...event, content: { ...content, ...original } };
  if (!ofMemory) return { ...event, ...original };
  const { text: originalText, body, ...rest } = original;
  return { ...event, ...rest, content: { ...content, text: originalText, body } };
}

const isSubjectOrAuthor = ({ subject, username }: Principal, { user_id, actor }: Event): boolean =>
  user_id === undefined ? actor.type === 'human' && actor.id === username : user_id === subject;

function openSealed(secrets: Secrets, tenant_id: string, sealed: Sealed, holder: string): string {
  try {
    return secrets.open(tenant_id, sealed, holder);
  } catch (cause) {
    if (cause instanceof SealBroken)
      throw new Problem('unavailable', 'The encrypted copy cannot be decrypted with the keys of this daemon.', { cause });
    throw cause;
  }
}
