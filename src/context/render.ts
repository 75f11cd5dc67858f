// Renders a context as one string.

export const titles: Record<string, string> = {
  rules: 'Rules',
  profile: 'Profile',
  task_state: 'Open tasks',
  handoff: 'Handoff',
  decisions: 'Decisions',
  recent_window: 'This session, oldest first',
  retrieved_evidence: 'From memory, best first',
  capsules: 'Handed over in capsules',
};

// Recorded text never starts a line: only headings start with `## `, only items with `- `, and continuation lines are indented by two spaces.
// Lines end with a line feed; any other character that some reader treats as the end of a line is converted to one.
export const headingOf = (section: string): string => `## ${titles[section]}\n`;
export const renderItem = (text: string): string => `- ${text.replaceAll('\n', '\n  ')}\n`;

/** The line and paragraph ends of Unicode, and U+001C to U+001E, at which Python's `splitlines` also splits. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches control characters
const lineEnd = /\r\n|[\v\f\r\u001c-\u001e\u0085\u2028\u2029]/g;
export const normalizeLineEnds = (text: string): string => text.replaceAll(lineEnd, '\n');

/** Escapes control characters and line ends in an id or name. Requests cannot contain them, but an import can. */
export const escapeLineEnds = (name: string): string =>
  name.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

interface PassageParts {
  actor_id: string;
  kind: string;
  occurred_at: string;
  text: string;
  /** The tool and id of the call, for a call or result. */
  call?: { tool: string | null; call_id: string } | undefined;
}

/** Renders a passage with its date and actor. */
export const renderPassage = (passage: PassageParts): string =>
  `${passage.occurred_at.slice(0, 10)} ${escapeLineEnds(passage.actor_id)}${labelOf(passage)}: ${passage.text}`;

function labelOf({ kind, call }: PassageParts): string {
  if (kind === 'message') return '';
  const kindLabel = kind.replaceAll('_', ' ');
  if (!call) return ` (${kindLabel})`;
  const id = escapeLineEnds(call.call_id);
  return kind === 'tool_call'
    ? ` (${kindLabel} ${id})`
    : ` (${kindLabel} of ${call.tool === null ? '' : `${escapeLineEnds(call.tool)}, `}call ${id})`;
}

/** Returns the content of a memory event in the form of a client event: the fields of the body at the top level, with the text. */
export const flattenMemory = (kind: string, content: Record<string, unknown>): Record<string, unknown> => {
  if (!kind.startsWith('memory.')) return content;
  const { text } = content;
  return { ...(content.body as object | undefined), text, decision: text, title: text };
};

/** Renders a decision with one field per line and indented continuation lines. */
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
