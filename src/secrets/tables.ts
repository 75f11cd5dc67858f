import { isSecretValue } from './named_values.ts';
import { classifyName, type SecretName } from './secret_names.ts';
import type { Span } from './tokens.ts';

// Finds secrets in columns whose heading announces a secret: CSV, tables of Markdown and psql, INSERT statements.

const MAX_LINE = 2_000;
const MAX_ROWS = 1_000;
const separators = ['|', '\t', ';', ','];
const ruleLine = /^[\s|:+=-]*$/;
const heading = /^["']?[\p{L}][\p{L}\d _.-]{0,39}["']?$/u;

/** `anchors` are the positions of words in names of secrets. A line is read once, either as a heading or as a row. */
export function tableSecrets(text: string, anchors: number[], found: Span[]): void {
  insertStatements(text, found);
  let done = 0;
  for (const at of anchors) {
    if (at < done) continue;
    const start = text.lastIndexOf('\n', at) + 1;
    const end = lineEnd(text, at);
    done = end;
    if (end >= text.length || start < at - MAX_LINE || end - start > MAX_LINE) continue;
    const line = text.slice(start, end);
    const separator = separators.find((character) => line.includes(character));
    const cells = separator && line.split(separator).map((cell) => cell.trim());
    if (!cells || cells.filter(Boolean).length < 2 || !cells.every((cell) => cell === '' || heading.test(cell))) continue;
    const columns = cells.map((cell) => (cell === '' ? undefined : classifyName(cell.replace(/["']/g, ''))));
    if (columns.some(Boolean)) done = scanRows(text, end + 1, separator, columns, found);
  }
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}

/** Returns the end of the last row. */
function scanRows(text: string, from: number, separator: string, columns: (SecretName | undefined)[], found: Span[]): number {
  let start = from;
  for (let n = 0; n < MAX_ROWS && start < text.length; n += 1) {
    const end = lineEnd(text, start);
    const line = text.slice(start, end);
    const cells = line.length > MAX_LINE ? [] : line.split(separator);
    if (!(ruleLine.test(line) && line !== '') && cells.length !== columns.length) break;
    let at = start;
    cells.forEach((cell, i) => {
      const named = columns[i];
      if (named && cells.length === columns.length) cellValue(cell, at, named, found);
      at += cell.length + 1;
    });
    start = end + 1;
  }
  return start;
}

function cellValue(cell: string, at: number, named: SecretName, found: Span[]): void {
  const value = cell.trim().replace(/^["'`]|["'`]$/g, '');
  if (!isSecretValue(value, named, 'prose')) return;
  const from = at + cell.indexOf(value);
  found.push({ from, to: from + value.length, kind: named.kind });
}

const insert = /\binsert\s{1,4}into\s{1,4}\S{1,100}\s{0,4}\(([^()]{1,1000})\)\s{0,20}values\s{0,20}/gi;
const tuple = /\(((?:'[^'\n]{0,1000}'|"[^"\n]{0,1000}"|[^()'"]){1,2000})\)\s{0,20},?\s{0,20}/y;
const field = /\s{0,20}(?:[NE]?'([^'\n]{0,1000}(?:''[^'\n]{0,1000}){0,20})'|"([^"\n]{0,1000})"|[^,'"]{0,1000})\s{0,20}(?:,|$)/y;

function insertStatements(text: string, found: Span[]): void {
  for (const match of text.matchAll(insert)) {
    const columns = match[1]!.split(',').map((name) => classifyName(name.replace(/[\s"'`]/g, '')));
    if (!columns.some(Boolean)) continue;
    tuple.lastIndex = match.index + match[0].length;
    for (let at = tuple.lastIndex, row = tuple.exec(text); row; at = tuple.lastIndex, row = tuple.exec(text))
      scanFields(row[1]!, at + 1, columns, found);
  }
}

function scanFields(row: string, from: number, columns: (SecretName | undefined)[], found: Span[]): void {
  field.lastIndex = 0;
  for (let i = 0; i < columns.length && field.lastIndex < row.length; i += 1) {
    const at = field.lastIndex;
    const match = field.exec(row);
    if (!match) return;
    const value = match[1] ?? match[2];
    const named = columns[i];
    if (value === undefined || !named || !isSecretValue(value, named, 'quoted')) continue;
    const start = from + at + match[0].indexOf(value);
    found.push({ from: start, to: start + value.length, kind: named.kind });
  }
}
