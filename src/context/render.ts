// How the bundle reads as one string.

const headings: Record<string, string> = {
  rules: 'Rules',
  task_state: 'Open tasks',
  handoff: 'Handoff',
  decisions: 'Decisions',
  recent_window: 'This session, oldest first',
  retrieved_evidence: 'From memory, best first',
};

export const headingOf = (section: string): string => `## ${headings[section]}\n`;
export const renderItem = (text: string): string => `- ${text}\n`;

interface Spoken {
  actor_id: string;
  kind: string;
  occurred_at: string;
  text: string;
}

/** A passage with what it takes to understand it: the day and who. */
export const renderPassage = ({ actor_id, kind, occurred_at, text }: Spoken): string =>
  `${occurred_at.slice(0, 10)} ${actor_id}${kind === 'message' ? '' : ` (${kind.replaceAll('_', ' ')})`}: ${text}`;

/** What a decision event says, one line each. */
export function renderDecision(content: Record<string, unknown>): string {
  const line = (label: string, value: unknown) => {
    const said = Array.isArray(value) ? value.filter((entry) => typeof entry === 'string').join('; ') : '';
    return said === '' ? '' : `\n  ${label}: ${said}`;
  };
  return [
    String(content.decision ?? ''),
    line('because', content.rationale),
    line('constraints', content.constraints),
    line('instead of', content.alternatives),
    line('so', content.consequences),
  ].join('');
}

export function renderTask(content: Record<string, unknown>): string {
  const details = typeof content.details === 'string' && content.details !== '' ? `: ${content.details}` : '';
  return `[${content.status}] ${content.title}${details}`;
}
