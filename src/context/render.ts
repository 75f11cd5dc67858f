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

// Recorded text never begins a line of its own accord: only headings begin with `## `, only items with `- `, and each further line of an
// item with two spaces. Lines end with a line feed alone; what else some reader takes for the end of a line becomes one.
export const headingOf = (section: string): string => `## ${headings[section]}\n`;
export const renderItem = (text: string): string => `- ${text.replaceAll('\n', '\n  ')}\n`;

/** Unicode's line and paragraph ends, and U+001C to U+001E, at which Python's `splitlines` ends a line too. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const lineEnd = /\r\n|[\v\f\r\u001c-\u001e\u0085\u2028\u2029]/g;
export const withPlainLines = (text: string): string => text.replaceAll(lineEnd, '\n');

/** An id or name within a line: one that an import brought may hold what requests may not. */
export const inLine = (name: string): string =>
  name.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

interface Spoken {
  actor_id: string;
  kind: string;
  occurred_at: string;
  text: string;
  /** Of a call or result that belongs to a call: its tool and the call's id. */
  call?: { tool: string | null; call_id: string } | undefined;
}

/** A passage with what it takes to understand it: the day and who. */
export const renderPassage = (spoken: Spoken): string =>
  `${spoken.occurred_at.slice(0, 10)} ${inLine(spoken.actor_id)}${labelOf(spoken)}: ${spoken.text}`;

function labelOf({ kind, call }: Spoken): string {
  if (kind === 'message') return '';
  const said = kind.replaceAll('_', ' ');
  if (!call) return ` (${said})`;
  const id = inLine(call.call_id);
  return kind === 'tool_call'
    ? ` (${said} ${id})`
    : ` (${said} of ${call.tool === null ? '' : `${inLine(call.tool)}, `}call ${id})`;
}

/** What a memory of the service's own events says: its text, with the fields of its body where an event has them. */
export const unfolded = (kind: string, content: Record<string, unknown>): Record<string, unknown> => {
  if (!kind.startsWith('memory.')) return content;
  const { text } = content;
  return { ...(content.body as object | undefined), text, decision: text, title: text };
};

/** What a decision event says, each field on a line; further lines of a field are indented. */
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
  return said === '' ? '' : `\n${label}: ${withPlainLines(said).replaceAll('\n', '\n  ')}`;
}

export function renderHandoff(content: Record<string, unknown>, from: string): string {
  const problem = String(content.problem ?? '');
  const text = String(content.text ?? '');
  return [
    `from ${inLine(from)}: ${problem}`,
    text === '' || text === problem ? '' : `\n${text}`,
    line('constraints', content.constraints),
    line('decisions', content.decisions),
    line('open questions', content.open_questions),
    line('refs', content.refs),
  ].join('');
}

export function renderTask(content: Record<string, unknown>): string {
  const details = typeof content.details === 'string' && content.details !== '' ? `: ${content.details}` : '';
  return `[${inLine(String(content.status))}] ${content.title}${details}`;
}
