import { deriveSuccessor, looksLikeKey, makeSecret, readSecret } from '../../src/auth/secrets.ts';

const kinds = ['key', 'ref', 'inv', 'rst'] as const;

test.each(kinds)('a secret of the kind %s is parsed only as that kind', (kind) => {
  const made = makeSecret(kind, 'acme');
  expect(made.text).toMatch(/^am[krip]\.acme\.[a-z]{3}_[0-9a-z]{26}\.[A-Za-z0-9_-]{43}$/);
  expect(made.text.slice(0, 3)).toBe({ key: 'amk', ref: 'amr', inv: 'ami', rst: 'amp' }[kind]);
  expect(readSecret(kind, made.text)).toEqual(made);
  for (const other of kinds.filter((each) => each !== kind)) expect(readSecret(other, made.text)).toBeUndefined();
  expect(looksLikeKey(made.text)).toBe(kind === 'key');
  expect(makeSecret(kind, 'acme').text).not.toBe(made.text);
});

test('a text that this service cannot have issued is not parsed', () => {
  const { text, id } = makeSecret('key', 'acme');
  const alike = [
    '',
    text.slice(0, -1),
    `${text}A`,
    ` ${text}`,
    text.replace('acme', '-acme'),
    text.replace('acme', 'a'.repeat(64)),
  ];
  for (const wrong of [...alike, text.replace(id, id.replace('key_', 'ref_')), text.replace('amk', 'amx')])
    expect([wrong, readSecret('key', wrong)]).toEqual([wrong, undefined]);
  const longest = makeSecret('key', 'a'.repeat(63));
  expect(readSecret('key', longest.text)).toEqual(longest);
});

test('a token has one successor per nonce, which only its holder can derive', () => {
  const parent = makeSecret('ref', 'acme');
  const nonce = Buffer.from('nonce');
  const id = `ref_${'0'.repeat(26)}`;
  const next = deriveSuccessor(parent, id, nonce);
  expect(readSecret('ref', next.text)).toEqual(next);
  expect(deriveSuccessor(parent, id, nonce)).toEqual(next);
  expect(deriveSuccessor(parent, id, Buffer.from('other')).text).not.toBe(next.text);
  expect(deriveSuccessor(makeSecret('ref', 'acme'), id, nonce).text).not.toBe(next.text);
  // depends only on the secret
  expect(deriveSuccessor({ ...parent, text: parent.text.replace('acme', 'other') }, id, nonce).hash).toEqual(next.hash);
});
