import type { z } from 'zod';
import type { Portable } from '../portable.ts';

/** The rows of all features by the type of their lines, and the schemas of events that report an erasure or a retention run. */
interface Portables {
  portable: Record<string, Portable>;
  reports: Record<string, z.ZodType>;
}

interface ReportEvent {
  kind: string;
  session_id: string;
  actor_id: string;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  content: unknown;
  metadata: object;
  tags: string[];
  refs: string[];
}

/** Checks events that report an erasure or a retention run. They are never erased, so an import must not smuggle other content into them. */
function isValidReport(event: ReportEvent, reports: Portables['reports']): boolean {
  const form = Object.hasOwn(reports, event.kind) ? reports[event.kind] : undefined;
  if (!form) return true;
  const names = [event.session_id, event.actor_id, event.user_id, event.agent_id, event.project_id].join('/');
  const { tags, refs, metadata } = event;
  return (
    /^job_[0-9a-z]+\/agent-memory\/(?:agent-memory|erased_[0-9a-f]{32})\/\/$/.test(names) &&
    Object.keys(metadata).length + tags.length + refs.length === 0 &&
    form.safeParse(event.content).success
  );
}

export function rowsOf({ portable, reports }: Portables): Record<string, Portable> {
  const { event } = portable;
  if (!event) throw new Error('no feature exports the part "event"');
  const row = event.row.refine(
    (candidate) => isValidReport(candidate as unknown as ReportEvent, reports),
    'must have the form that the service writes',
  );
  return { ...portable, event: { ...event, row } };
}
