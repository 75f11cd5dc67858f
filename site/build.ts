import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { layout } from './layout.ts';
import { linksOf, markdownUrl } from './links.ts';
import { llmsText } from './llms.ts';
import { renderPage } from './markdown.ts';
import { navigationOf } from './navigation.ts';
import { readDocument } from './reference/document.ts';
import { searchIndex } from './search.ts';
import { filesUnder, readSources } from './sources.ts';
import { tryForms } from './try.ts';

// The documentation site: files that the daemon serves below /docs, and /llms.txt.

const ASSETS = 'site/assets';
const IMAGE = /\.(svg|png|webp)$/;

/** Renders the documentation of a checkout into a folder, which is emptied first. */
export function buildSite(root: string, folder: string): void {
  const sources = readSources(root);
  const images = filesUnder(root, 'docs').filter((file) => IMAGE.test(file));
  const links = linksOf(sources, images);
  const expand = tryForms(readDocument(root));
  const pages = new Map(sources.map((source) => [source.url, renderPage(source, links, expand)]));
  const navigation = navigationOf(sources, links);
  const { description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { description: string };

  const files = new Map<string, string>([
    ...[...pages].map(([url, page]) => [`${url}.html`, layout(url, page, navigation)] as const),
    ...sources.map((source) => [markdownUrl(source.url), links.absolute(source)] as const),
    ['/docs/search.json', searchIndex(pages)],
    ['/llms.txt', llmsText(description, navigation, pages)],
  ]);
  rmSync(folder, { recursive: true, force: true });
  const prepare = (path: string) => {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    return target;
  };
  for (const [path, content] of files) writeFileSync(prepare(path), content);
  for (const image of images) copyFileSync(join(root, image), prepare(image));
  for (const asset of filesUnder(root, ASSETS)) copyFileSync(join(root, asset), prepare(asset.replace(ASSETS, 'docs')));
  const minisearch = createRequire(import.meta.url)
    .resolve('minisearch')
    .replace(/cjs.*$/, 'es/index.js');
  copyFileSync(minisearch, prepare('docs/minisearch.js'));
}
