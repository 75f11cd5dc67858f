import { markdownUrl } from './links.ts';
import type { Rendered } from './markdown.ts';
import type { Entry, Group } from './navigation.ts';

// /llms.txt (llmstxt.org): the pages as Markdown, for a language model.

export function llmsText(summary: string, navigation: Group[], pages: Map<string, Rendered>): string {
  const line = ({ title, url }: Entry) => `- [${title}](${markdownUrl(url)}): ${pages.get(url)?.summary ?? title}`;
  const flat = (entry: Entry): Entry[] => [entry, ...entry.children];
  const groups = navigation.map(
    (group) => `## ${group.title || 'Pages'}\n\n${group.entries.flatMap(flat).map(line).join('\n')}\n`,
  );
  return `# Agent Memory\n\n> ${summary}\n\nThe machine-readable API description is at /openapi.json.\n\n${groups.join('\n')}`;
}
