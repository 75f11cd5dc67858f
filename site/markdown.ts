import GithubSlugger from 'github-slugger';
import MarkdownIt, { type Token } from 'markdown-it';
import { escapeHtml } from './html.ts';
import type { Links } from './links.ts';
import type { Source } from './sources.ts';

// Markdown to HTML, with the headings and texts that navigation and search need.

interface Heading {
  level: number;
  id: string;
  text: string;
}

/** The text between one heading and the next. */
export interface Section extends Heading {
  body: string;
}

export interface Rendered {
  html: string;
  title: string;
  /** The first sentence of the page. */
  summary: string;
  sections: Section[];
}

// the documentation is trusted and may contain HTML, such as comments
const markdown = new MarkdownIt({ html: true, linkify: false });

/** Returns the tokens of a Markdown text, for a caller that looks for its links. */
export const parseMarkdown = (text: string): Token[] => markdown.parse(text, {});

markdown.renderer.rules.table_open = () => '<div class="scroll"><table>\n';
markdown.renderer.rules.table_close = () => '</table></div>\n';
markdown.renderer.rules.fence = (tokens, i) => {
  const { info, content } = tokens[i]!;
  const language = info.trim() ? ` data-language="${escapeHtml(info.trim())}"` : '';
  return `<div class="code"${language}><pre class="scroll"><code>${escapeHtml(content)}</code></pre></div>\n`;
};

/** Renders a page. `expand` replaces the HTML comments that stand for generated blocks. */
export function renderPage(source: Source, links: Links, expand: (comment: string) => string | undefined): Rendered {
  const tokens = markdown.parse(source.markdown, {});
  nameHeaders(tokens);
  const sections = identify(tokens);
  for (const token of tokens) {
    if (token.type === 'html_block') token.content = expand(token.content.trim()) ?? token.content;
    if (token.children) token.children = rewriteLinks(token.children, (href) => links.resolve(source.file, href));
  }
  linkHeadings(tokens);
  return {
    html: markdown.renderer.render(tokens, markdown.options, {}),
    title: sections[0]?.text ?? source.file,
    summary: summaryOf(tokens),
    sections,
  };
}

/** Gives each heading the id that GitHub gives it, and returns the text below each. */
function identify(tokens: Token[]): Section[] {
  const slugger = new GithubSlugger();
  const sections: Section[] = [];
  for (const [i, token] of tokens.entries()) {
    if (token.type === 'heading_open') {
      const text = plain(tokens[i + 1]!);
      const id = slugger.slug(text);
      token.attrSet('id', id);
      sections.push({ level: Number(token.tag.slice(1)), id, text, body: '' });
    } else if (tokens[i - 1]?.type !== 'heading_open' && sections.length > 0) {
      const text = token.type === 'fence' ? token.content : plain(token);
      if (text) sections.at(-1)!.body += `${text} `;
    }
  }
  return sections;
}

const plain = ({ children }: Token): string =>
  (children ?? []).map(({ type, content }) => (type === 'softbreak' ? ' ' : type === 'html_inline' ? '' : content)).join('');

/** Wraps the text of each heading below the title in a link to itself. */
function linkHeadings(tokens: Token[]): void {
  for (const [i, token] of tokens.entries()) {
    const inline = tokens[i + 1];
    if (token.type !== 'heading_open' || token.tag === 'h1' || inline?.children?.some(({ type }) => type === 'link_open'))
      continue;
    token.content = '';
    inline!.children = [htmlToken(`<a class="anchor" href="#${token.attrGet('id')}">`), ...inline!.children!, htmlToken('</a>')];
  }
}

/** An empty cell is no header. */
function nameHeaders(tokens: Token[]): void {
  for (const [i, token] of tokens.entries())
    if (token.type === 'th_open' && tokens[i + 1]!.content === '') token.tag = tokens[i + 2]!.tag = 'td';
}

/** Links to pages get their URL. A link to a file that the site does not have becomes text, followed by its path if the text differs. */
function rewriteLinks(children: Token[], resolve: (href: string) => string | undefined): Token[] {
  const rewritten: Token[] = [];
  let dropped: string | undefined;
  let text = '';
  for (const token of children) {
    if (token.type === 'image') token.attrSet('src', resolve(attribute(token, 'src')) ?? attribute(token, 'src'));
    if (token.type === 'link_open') {
      const href = attribute(token, 'href');
      const url = resolve(href);
      [dropped, text] = [url === undefined ? href : undefined, ''];
      if (url !== undefined) token.attrSet('href', url);
      if (url?.startsWith('http')) token.attrSet('rel', 'noreferrer');
    } else if (dropped !== undefined && token.type !== 'link_close') text += token.content;
    if (dropped === undefined || !token.type.startsWith('link_')) rewritten.push(token);
    if (dropped !== undefined && token.type === 'link_close') {
      const path = dropped.replace(/^(\.\.\/)+/, '');
      if (!sameName(path, text)) rewritten.push(htmlToken(` (<code>${escapeHtml(path)}</code>)`));
      dropped = undefined;
    }
  }
  return rewritten;
}

export const attribute = (token: Token, name: string): string => String(token.attrGet(name));

const sameName = (path: string, text: string): boolean => path.replace(/\/$/, '').endsWith(text.replace(/\/$/, ''));

function htmlToken(content: string): Token {
  const [paragraph] = markdown.parseInline('', {});
  const token = Object.create(Object.getPrototypeOf(paragraph)) as Token;
  return Object.assign(token, { type: 'html_inline', tag: '', nesting: 0, content, children: null });
}

/** The first sentence of the first paragraph. */
function summaryOf(tokens: Token[]): string {
  const at = tokens.findIndex(({ type, level }) => type === 'paragraph_open' && level === 0);
  if (at < 0) return '';
  const text = plain(tokens[at + 1]!);
  return /^.*?[.:](?=\s|$)/.exec(text)?.[0].replace(/:$/, '.') ?? text;
}
