import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { TextlintKernel, type TextlintRuleModule } from '@textlint/kernel';
import { Command } from 'commander';
import { extract, type Passage, proseFiles } from './prose-text.ts';

// Runs textlint over all prose of the repository: Markdown as it is, and of other files the passages that prose-text.ts extracts.

const require = createRequire(import.meta.url);
const project = join(import.meta.dirname, '..');
const MAX_WORDS = 40;
/** Its examples of what not to write would be rejected. */
const QUOTES_TERMS = 'docs/style.md';

const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });

/** A rule of textlint: no sentence has more than MAX_WORDS words. A piece of inline code is one word. */
const maxWords: TextlintRuleModule = ({ Syntax, RuleError, report }) => {
  const check = (node: Parameters<typeof report>[0]) => {
    for (const { segment } of sentences.segment(plain(node))) {
      const words = segment.split(/\s+/).filter((word) => /\w/.test(word));
      const start = words.slice(0, 8).join(' ');
      if (words.length > MAX_WORDS)
        report(node, new RuleError(`${words.length} words in a sentence, at most ${MAX_WORDS}: "${start} …"`));
    }
  };
  return { [Syntax.Paragraph]: check, [Syntax.TableCell]: check };
};

function plain(node: { type: string; value?: string; children?: unknown }): string {
  if (node.type === 'Code') return 'code';
  return Array.isArray(node.children) ? node.children.map(plain).join('') : (node.value ?? '');
}

const terms = {
  ruleId: 'terms',
  rule: require('textlint-rule-prh').default,
  options: {
    rulePaths: [join(project, 'docs/terms.yml')],
    checkLink: true,
    checkBlockQuote: true,
    checkEmphasis: true,
    checkHeader: false,
  },
};
const plugins = [
  { pluginId: 'markdown', plugin: require('@textlint/textlint-plugin-markdown').default },
  { pluginId: 'text', plugin: require('@textlint/textlint-plugin-text').default },
];

async function lintMarkdown(file: string, text: string): Promise<string[]> {
  const words = { ruleId: 'max-words', rule: maxWords };
  const rules = file === QUOTES_TERMS ? [words] : [terms, words];
  const { messages } = await new TextlintKernel().lintText(text, { plugins, rules, ext: '.md', filePath: file });
  return messages.map(({ line, message }) => `${file}:${line}: ${message}`);
}

/** Lints all passages in one run, a line each: textlint compiles the terms once per run. */
async function lintPassages(passages: Passage[]): Promise<string[]> {
  const text = passages.map((passage) => passage.text).join('\n');
  const { messages } = await new TextlintKernel().lintText(text, { plugins, rules: [terms], ext: '.txt' });
  return messages.map(({ line, message }) => `${passages[line - 1]!.file}:${passages[line - 1]!.line}: ${message}`);
}

new Command('npm run prose --')
  .description('Checks the wording of docs, comments, messages, descriptions and test names against docs/terms.yml.')
  .argument('[root]', 'the folder whose files are checked', project)
  .action(async (root: string) => {
    const files = proseFiles(root).map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }));
    const markdown = files.filter(({ file }) => file.endsWith('.md'));
    const passages = files.filter(({ file }) => !file.endsWith('.md')).flatMap(({ file, text }) => extract(file, text));
    const found = [
      ...(await Promise.all(markdown.map(({ file, text }) => lintMarkdown(file, text)))).flat(),
      ...(await lintPassages(passages)),
    ];
    for (const one of found) console.error(one.replace('\n', '. '));
    console.error(`${files.length} files, ${passages.length} passages, ${found.length} faults`);
    if (found.length > 0) process.exitCode = 1;
  })
  .parse();
