import { bindNamed } from '../../src/db/named_parameters.ts';

test('named parameters are numbered by their first occurrence, after those that the statement numbers itself', () => {
  const text = 'select $1 where ($kind::text is null or kind = $kind) and seq > $after_seq';
  expect(bindNamed(text, { after_seq: 3, kind: undefined, unused: 1 }, ['acme'])).toEqual([
    'select $1 where ($2::text is null or kind = $2) and seq > $3',
    ['acme', undefined, 3],
  ]);
});

test('a name without a value throws, and a prefix of another name is a different name', () => {
  expect(() => bindNamed('select $kin', { kind: 1 })).toThrow('the parameter kin of the statement has no value');
  expect(bindNamed('select $kind, $kind_of', { kind: 1, kind_of: 2 })).toEqual(['select $1, $2', [1, 2]]);
});
