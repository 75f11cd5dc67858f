import { type Parts, replaceNames } from '../../src/erasure/replace_names.ts';

const empty: Parts = { fields: {}, content: {}, metadata: {}, chunks: [], overlay: null, edits: [] };
const replacedIn = (names: string[], text: string) => replaceNames(names, 'X')({ ...empty, content: { text } }).content.text;

test.each([
  ['alice', 'Alice decides, alice’s way; malice and alices stay', 'X decides, X’s way; malice and alices stay'],
  ['alice', 'alice_notes, alice-notes, alice@example.org, "alice"', 'X_notes, X-notes, X@example.org, "X"'],
  ['élodie', 'ÉLODIE and e\u0301lodie, not élodies', 'X and X, not élodies'],
  ['e\u0301lodie', 'élodie', 'X'],
  ['ann', 'ann\u0301 is another name, ann is not', 'ann\u0301 is another name, X is not'],
  ['иван', 'Иван решил; ивановы остаются', 'X решил; ивановы остаются'],
  ['a.b+c@x.org', 'write to a.b+c@x.org, not to aab+c@x.org', 'write to X, not to aab+c@x.org'],
  ['$1', 'costs $1, not $10', 'costs X, not $10'],
])('%s is replaced as a whole word', (name, text, expected) => {
  expect(replacedIn([name], text)).toBe(expected);
});

test('the longest of several names is replaced, and the replacement is literal', () => {
  expect(replacedIn(['bob', 'bob@example.org'], 'bob@example.org is bob')).toBe('X is X');
  expect(replaceNames(['bob'], '$&')({ ...empty, content: { text: 'bob' } }).content.text).toBe('$&');
});

test('keys of clients are replaced, fields and values of the service are not', () => {
  const rename = replaceNames(['active', 'text', 'body'], 'X');
  const content = { text: 'active', status: 'active', body: { status: 'active', text: 'body', owners: { active: ['text'] } } };
  expect(rename({ ...empty, content, metadata: { active: 1 } })).toMatchObject({
    content: { text: 'X', status: 'active', body: { status: 'active', text: 'X', owners: { X: ['X'] } } },
    metadata: { X: 1 },
  });
});

test('client keys in addition to the fields of the service are replaced', () => {
  const content = { decision: 'x', ann: 1, body: { rationale: ['ann'], ann: { ann: 2 } } };
  expect(replaceNames(['ann'], 'X')({ ...empty, content }).content).toEqual({
    decision: 'x',
    X: 1,
    body: { rationale: ['X'], X: { X: 2 } },
  });
});

test('data of other nouns is replaced, including its keys', () => {
  const states = [{ key: 'ann', value: { ann: ['by Ann'] } }];
  expect(replaceNames(['ann'], 'X')({ ...empty, states }).states).toEqual([{ key: 'X', value: { X: ['by X'] } }]);
});
