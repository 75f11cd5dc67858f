import { z } from 'zod';
import { Problem } from '../../src/http/problem.ts';
import { declareFor, parseInput, type RawInput } from '../../src/http/route.ts';

const route = declareFor<null>()({
  method: 'POST',
  path: '/things/{id}',
  operation: 'test',
  summary: 'test',
  tag: 'test',
  access: 'none',
  limit: 'none',
  params: z.strictObject({ id: z.string().max(5) }),
  query: z.strictObject({ limit: z.string().regex(/^\d+$/).transform(Number).optional() }),
  body: z.union([
    z.strictObject({ name: z.string(), tags: z.array(z.string()).default([]) }),
    z.strictObject({ items: z.array(z.strictObject({ 'a/b~c': z.number() })) }),
  ]),
  success: { status: 200, description: 'test' },
  problems: [],
  handle: async () => ({}),
});

const parse = (raw: Partial<RawInput>) => parseInput(route, { params: { id: 'x' }, query: {}, body: { name: 'n' }, ...raw });
const faultsOf = (raw: Partial<RawInput>) => {
  try {
    parse(raw);
  } catch (error) {
    return (error as Problem).errors;
  }
  throw new Error('accepted');
};

test('valid input is parsed and gets defaults', () => {
  expect(parse({ query: { limit: '7' } })).toEqual({ params: { id: 'x' }, query: { limit: 7 }, body: { name: 'n', tags: [] } });
});

test('all errors are reported at once with their locations', () => {
  const faults = faultsOf({ params: { id: 'too long' }, query: { limit: 'x', page: '1' }, body: { name: 1, nmae: 2 } });
  expect(faults).toEqual([
    { parameter: 'id', detail: expect.any(String) },
    { parameter: 'limit', detail: expect.any(String) },
    { parameter: 'page', detail: 'unknown field' },
    { pointer: '#/name', detail: expect.any(String) },
    { pointer: '#/nmae', detail: 'unknown field' },
  ]);
});

test('at most fifty errors are reported', () => {
  const unknown = Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`k${i}`, 0]));
  expect(faultsOf({ body: { name: 'n', ...unknown } })).toHaveLength(50);
  expect(faultsOf({ query: unknown, body: { name: 1, ...unknown } })).toHaveLength(50);
});

test('a union reports the errors of its closest member', () => {
  expect(faultsOf({ body: { items: [{ 'a/b~c': 1 }, { 'a/b~c': 'x' }] } })).toEqual([
    { pointer: '#/items/1/a~1b~0c', detail: expect.any(String) },
  ]);
});

test('an invalid discriminator is reported with its allowed values', () => {
  const kinds = z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('fact'), text: z.string().min(1) }),
    z.strictObject({ kind: z.literal('note'), at: z.iso.datetime() }),
  ]);
  const made = { ...route, body: z.union([kinds, z.strictObject({ items: z.array(kinds) })]) };
  const of = (body: unknown) => {
    try {
      return parseInput(made, { params: { id: 'x' }, query: {}, body });
    } catch (error) {
      return (error as Problem).errors!.map(({ pointer, detail }) => `${pointer} ${detail}`);
    }
  };
  const needed = 'required';
  expect(of({ knd: 'fact' })).toEqual([`#/kind ${needed}`, '#/knd unknown field']);
  expect(of({ items: [{ knd: 'fact', text: 'x' }] })).toEqual([`#/items/0/kind ${needed}`, '#/items/0/knd unknown field']);
  expect(of({ kind: 'fakt', text: 'x' })).toEqual(['#/kind must be one of "fact", "note"']);
  expect(of({ kind: 'fact' })).toEqual(['#/text required']);
  expect(of({ kind: 'fact', text: '' })).toEqual(['#/text must not be empty']);
  expect(of({ kind: 'note', at: 7 })).toEqual(['#/at must be a string']);
  expect(of({ kind: 'note', at: 'noon' })).toEqual(['#/at must be an RFC 3339 time such as 2026-01-05T10:00:00Z']);
});

test('with an invalid discriminator, errors that all members share are reported too, each location once', () => {
  const shared = {
    channel: z.enum(['team', 'public']),
    at: z.iso.datetime().refine((text) => text.startsWith('2'), 'must be of this millennium'),
  };
  const kinds = z.discriminatedUnion('kind', [
    z.strictObject({ ...shared, kind: z.literal('fact'), text: z.string() }),
    z.strictObject({ ...shared, kind: z.literal('note'), title: z.string() }),
  ]);
  const made = { ...route, body: z.union([kinds, z.strictObject({ items: z.array(kinds) })]) };
  const of = (body: unknown) => {
    try {
      return parseInput(made, { params: { id: 'x' }, query: {}, body });
    } catch (error) {
      return (error as Problem).errors!.map(({ pointer, detail }) => `${pointer} ${detail}`);
    }
  };
  const withDefault = z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('note').default('note') }),
    z.strictObject({ kind: z.literal('fact') }),
  ]);
  const wrong = () => parseInput({ ...route, body: withDefault }, { params: { id: 'x' }, query: {}, body: { kind: 'fakt' } });
  expect(wrong).toThrow('#/kind: must be one of "note", "fact"');
  const kind = '#/kind must be one of "fact", "note"';
  const channel = '#/channel must be one of "team", "public"';
  const at = '#/at must be an RFC 3339 time such as 2026-01-05T10:00:00Z';
  expect(of({ kind: 'fakt', channel: 'tean', at: 'noon', odd: 1 })).toEqual([kind, channel, at, '#/odd unknown field']);
  expect(of({ items: [{ kind: 'note', title: 7, channel: 'tean', at: 'noon' }] })).toEqual([
    channel.replace('#', '#/items/0'),
    at.replace('#', '#/items/0'),
    '#/items/0/title must be a string',
  ]);
  // an empty body most likely means the single form; a batch is recognized by its field
  expect(of({})).toEqual(['#/kind required', '#/channel required', '#/at required']);
  expect(of({ items: 'x' })).toEqual(['#/items must be an array']);
  expect(of({ items: [], channel: 'team' })).toEqual(['#/channel unknown field']);
});

test.each([[undefined], [null], ['text'], [[]], [7]])('a body that is not an object (%p) gets a single error', (body) => {
  expect(faultsOf({ body })?.[0]).toMatchObject({ pointer: '#' });
});

test('a repeated parameter is rejected if it takes one value', () => {
  expect(faultsOf({ query: { limit: ['1', '2'] } })).toEqual([{ parameter: 'limit', detail: 'must not be repeated' }]);
});

test('a route without a query schema rejects parameters', () => {
  const { query: _, ...plain } = route;
  expect(() => parseInput(plain, { params: { id: 'x' }, query: { a: '1' }, body: { name: 'n' } })).toThrow(Problem);
});
