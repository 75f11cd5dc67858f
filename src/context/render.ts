// How the bundle reads as one string.

const headings: Record<string, string> = {
  rules: 'Rules',
  task_state: 'Open tasks',
  handoff: 'Handoff',
  decisions: 'Decisions',
  recent_window: 'This session, oldest first',
  retrieved_evidence: 'From memory, best first',
  capsules: 'Handed over in capsules',
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

/** What a memory of the service's own events says: its text, with the fields of its body where an event has them. */
export const unfolded = (kind: string, content: Record<string, unknown>): Record<string, unknown> => {
  if (!kind.startsWith('memory.')) return content;
  const { text } = content;
  return { ...(content.body as object | undefined), text, decision: text, title: text };
};

/** What a decision event says, one line each. */
export function renderDecision(content: Record<string, unknown>): string {
  return [
    String(content.decision ?? ''),
    line('because', content.rationale),
    line('constraints', content.constraints),
    line('instead of', content.alternatives),
    line('so', content.consequences),
  ].join('');
}

function line(label: string, value: unknown): string {
  const said = Array.isArray(value) ? value.filter((entry) => typeof entry === 'string').join('; ') : '';
  return said === '' ? '' : `\n  ${label}: ${said}`;
}

export function renderHandoff(content: Record<string, unknown>, from: string): string {
  const problem = String(content.problem ?? '');
  const text = String(content.text ?? '');
  return [
    `from ${from}: ${problem}`,
    text === '' || text === problem ? '' : `\n  ${text}`,
    line('constraints', content.constraints),
    line('decisions', content.decisions),
    line('open questions', content.open_questions),
    line('refs', content.refs),
  ].join('');
}

export function renderTask(content: Record<string, unknown>): string {
  const details = typeof content.details === 'string' && content.details !== '' ? `: ${content.details}` : '';
  return `[${content.status}] ${content.title}${details}`;
}
