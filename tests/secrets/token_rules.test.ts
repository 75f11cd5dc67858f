import { findSecrets } from '../../src/secrets/detect.ts';
import { tokenRules } from '../../src/secrets/token_rules.ts';
import { type Random, random } from './corpus/random.ts';
import { shortest } from './corpus/shortest.ts';

// The shortest token of each issuer is found completely and with its kind. A token with one character less in any part is not.

const alphabets: Record<string, string> = {
  d: '0123456789',
  h: '0123456789abcdef',
  X: '0123456789ABCDEF',
  a: 'abcdefghijklmnopqrstuvwxyz',
  l: 'abcdefghijklmnopqrstuvwxyz0123456789',
  L: 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ',
  U: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  A: 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  B: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567',
  P: 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L',
  n: '023456789acdefghjklmnpqrstuvwxyz',
};
const part = /\{([A-Za-z])(\d+)\}/g;

/** Returns a token of the form. `shorter` is the index of the part that lacks a character. */
function make(form: string, chance: Random, shorter = -1): string {
  let at = -1;
  return form.replaceAll(part, (_, alphabet: string, count: string) => {
    at += 1;
    const length = Number(count) - (at === shorter ? 1 : 0);
    // identifiers in code have no digit and are not examined
    return chance.of(alphabets[alphabet]!, length - 1) + alphabets[alphabet]!.at(-1);
  });
}

const spansIn = (text: string) => findSecrets(text, { personal_data: false, contacts: false });
const lengthsOf = (form: string) => [...form.matchAll(part)].map(([, , count]) => Number(count));

test.each(shortest)('%s: %s', (kind, form) => {
  const token = make(form, random(form.length));
  expect(spansIn(`It is ${token} now`)).toEqual([{ from: 6, to: 6 + token.length, kind }]);
  for (const [i, length] of lengthsOf(form).entries()) {
    if (length < 2) continue;
    const text = `It is ${make(form, random(form.length), i)} now`;
    expect([text, spansIn(text).map((span) => span.kind)]).not.toEqual([text, expect.arrayContaining([kind])]);
  }
});

test('the shortest form of each rule is listed here', () => {
  const kinds = new Set(shortest.map(([kind]) => kind));
  expect(tokenRules.map(({ kind }) => kind).filter((kind) => !kinds.has(kind))).toEqual([]);
});

test('a longer token is redacted completely, or not at all if the prefix of its rule is short', () => {
  for (const [kind, form] of shortest.filter(([, one]) => /\{[AhLlU]\d+\}$/.test(one))) {
    const more = make(form, random(1)) + 'q7Zk'.repeat(3);
    const spans = spansIn(`It is ${more} now`);
    const isPiece = spans.length === 0 && tokenRules.some((rule) => rule.kind === kind && rule.alone);
    expect([form, spans]).toEqual([form, isPiece ? [] : [expect.objectContaining({ from: 6, to: 6 + more.length })]]);
  }
});
