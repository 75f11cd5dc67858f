// Generates what agents talk about: text of realistic length and variety for search and context.

const words =
  `parser block index query timeout retry cache tenant token stream cursor batch commit page buffer socket header certificate proxy
  worker queue lease snapshot replica vacuum latency budget prompt model summary schema migration constraint trigger deploy release
  rollback incident alert dashboard metric trace sample invoice customer contract refund payment shipment warehouse calendar meeting
  agenda owner reviewer estimate deadline branch merge conflict module package import export handler route session cookie password`
    .split(/\s+/)
    .filter(Boolean);
const tools = ['grep', 'read_file', 'run_tests', 'http_get', 'sql'];

const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)]!;
const sentence = (length: number): string => {
  const text = Array.from({ length }, () => pick(words)).join(' ');
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
};

export const prose = (sentences: number): string =>
  Array.from({ length: sentences }, () => sentence(6 + Math.floor(Math.random() * 10))).join(' ');
/** Returns a few words to search for. */
export const terms = (count: number): string => Array.from({ length: count }, () => pick(words)).join(' ');
export const toolName = (): string => pick(tools);
/** Returns a unique word, so that a response can be compared with what was recorded. */
export const marker = (): string => `mark${Math.random().toString(36).slice(2, 12)}`;
/** Returns a few kB, like the output of a tool. */
export const excerpt = (lines: number): string =>
  Array.from(
    { length: lines },
    (_, i) => `${String(i + 1).padStart(4)}  ${pick(words)}_${pick(words)}(${pick(words)}, ${i * 7})`,
  ).join('\n');
