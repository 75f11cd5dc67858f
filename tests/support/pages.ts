import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');
export const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Every page under docs/, the generated reference excluded. */
export const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md') && !name.startsWith('reference/'))
  .map((name) => `docs/${name}`)
  .sort();

export interface Block {
  language: string;
  /** Without the indentation of the list item that it belongs to. */
  text: string;
  start: number;
  end: number;
}

/** Returns the fenced code blocks of a page. */
export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^( *)```(\w*)[^\n]*\n(.*?)^\1```$/gms)].map((match) => ({
    language: match[2]!,
    text: match[3]!.replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** Returns the anchors of a page: its headings as GitHub and the site of the daemon name them. */
export function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  );
}

/** Returns the Markdown without its code blocks and code spans, in which a link is not a link. */
export const proseOf = (markdown: string): string =>
  markdown.replaceAll(/^( *)```.*?^\1```$/gms, '').replaceAll(/`[^`\n]*`/g, '');
