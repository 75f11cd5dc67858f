// How the bundle reads as one string.

const headings: Record<string, string> = {
  rules: 'Rules',
  task_state: 'Open tasks',
  handoff: 'Handoff',
  decisions: 'Decisions',
  recent_window: 'This session, oldest first',
  retrieved_evidence: 'From memory, best first',
  capsules: 'OpenedCapsule over in capsules',
};

// Recorded text never begins a line of its own accord: only headings begin with `## `, only items with `- `, and each further line of an
// item with two spaces. Lines end with a line feed alone; what else some reader takes for the end of a line becomes one.
export const headingOf = (section: string): string => `## ${headings[section]}\n`;
export const renderItem = (text: string): string => `- ${text.replaceAll('\n', '\n  ')}\n`;

/** Unicode's line and paragraph ends, and U+001C to U+001E, at which Python's `splitlines` ends a line too. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const lineEnd = /\r\n|[\v\f\r\u001c-\u001e\u0085\u2028\u2029]/g;
export const normalizeLineEnds = (text: string): string => text.replaceAll(lineEnd, '\n');

/** An id or name within a line: one that an import brought may hold what requests may not. */
export const escapeLineEnds = (name: string): string =>
  name.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

interface PassageParts {
  actor_id: string;
  kind: string;
  occurred_at: string;
  text: string;
  /** Of a call or result that belongs to a call: its tool and the call's id. */
  call?: { tool: string | null; call_id: string } | undefined;
}

/** A passage with what it takes to understand it: the day and who. */
export const renderPassage = (passage: PassageParts): string =>
  `${passage.occurred_at.slice(0, 10)} ${escapeLineEnds(passage.actor_id)}${labelOf(passage)}: ${passage.text}`;

function labelOf({ kind, call }: PassageParts): string {
  if (kind === 'message') return '';
  const said = kind.replaceAll('_', ' ');
  if (!call) return ` (${said})`;
  const id = escapeLineEnds(call.call_id);
  return kind === 'tool_call'
    ? ` (${said} ${id})`
    : ` (${said} of ${call.tool === null ? '' : `${escapeLineEnds(call.tool)}, `}call ${id})`;
}

/** What a memory of the service's own events says: its text, with the fields of its body where an event has them. */
export const flattenMemory = (kind: string, content: Record<string, unknown>): Record<string, unknown> => {
  if (!kind.startsWith('memory.')) return content;
  const { text } = content;
  return { ...(content.body as object | undefined), text, decision: text, title: text };
};

/** What a decision event says, each field on a line; further lines of a field are indented. */
export function renderDecision(content: Record<string, unknown>): string {
  return [
    String(content.decision ?? ''),
    listLine('because', content.rationale),
    listLine('constraints', content.constraints),
    listLine('instead of', content.alternatives),
    listLine('so', content.consequences),
  ].join('');
}

function listLine(label: string, value: unknown): string {
  const joined = Array.isArray(value) ? value.filter((entry) => typeof entry === 'string').join('; ') : '';
  return joined === '' ? '' : `\n${label}: ${normalizeLineEnds(joined).replaceAll('\n', '\n  ')}`;
}

export function renderHandoff(content: Record<string, unknown>, from: string): string {
  const problem = String(content.problem ?? '');
  const text = String(content.text ?? '');
  return [
    `from ${escapeLineEnds(from)}: ${problem}`,
    text === '' || text === problem ? '' : `\n${text}`,
    listLine('constraints', content.constraints),
    listLine('decisions', content.decisions),
    listLine('open questions', content.open_questions),
    listLine('refs', content.refs),
  ].join('');
}

export function renderTask(content: Record<string, unknown>): string {
  const details = typeof content.details === 'string' && content.details !== '' ? `: ${content.details}` : '';
  return `[${escapeLineEnds(String(content.status))}] ${content.title}${details}`;
}
