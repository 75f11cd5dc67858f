import { traits } from '../../src/passages/index.ts';
import { traitsOf } from '../../src/passages/traits.ts';
import { cuesOf, dateFit } from '../../src/search/cues.ts';

const now = new Date('2026-11-30T12:00:00Z');
const day = (text: string) => Date.parse(text) / 86_400_000;

test.each([
  ['What did Caroline research?', ['caroline', 'did caroline']],
  ["Melanie's kids", ['melanie', 'melanie kids']],
  ['ask agent-7 or j.doe@example.com', ['agent-7', 'j.doe@example.com']],
  ['did Anna Maria say so', ['anna maria']],
])('the words and pairs of %j are candidates for actors', (query, expected) => {
  expect(cuesOf(query, now).names).toEqual(expect.arrayContaining(expected));
});

test.each([
  ['When did she leave?', traits.dated],
  ['what year was it', traits.dated],
  ['How many dogs?', traits.numbered],
  ['Who came, and where?', traits.names],
  ['Whenever you like', 0],
  ['Why?', 0],
])('%j asks for an answer with the trait %d', (query, trait) => {
  expect(cuesOf(query, now).trait).toBe(trait);
});

test.each([
  ['on 8 May 2023', [{ year: 2023, month: 5, day: 8 }]],
  ['on May 8th', [{ year: null, month: 5, day: 8 }]],
  ['in May', [{ year: null, month: 5, day: null }]],
  ['in March 2024', [{ year: 2024, month: 3, day: null }]],
  ['two weeks ago', [{ year: 2026, month: 11, day: 16 }]],
  ['yesterday', [{ year: 2026, month: 11, day: 29 }]],
  ['last Tuesday', [{ year: 2026, month: 11, day: 24 }]],
  ['may I come at 5?', []],
  ['what is her name', []],
])('%j names the dates %j', (query, dates) => {
  expect(cuesOf(query, now).dates).toEqual(dates);
});

test('a date fits best on the day and the two after it, and a date without a year fits each year', () => {
  const dates = [{ year: null, month: 5, day: 8 }];
  const fits = ['2023-05-08', '2024-05-10', '2023-05-18', '2023-05-04', '2023-06-20'].map((text) => dateFit(dates, day(text)));
  expect(fits).toEqual([1, 1, 0.7, 0.5, 0]);
  const may = [{ year: 2023, month: 5, day: null }];
  expect(['2023-05-31', '2023-06-10', '2023-06-20', '2023-04-25', '2024-05-01'].map((text) => dateFit(may, day(text)))).toEqual([
    1, 0.6, 0.4, 0.3, 0,
  ]);
});

test.each([
  ['How are you?', traits.asks],
  ['你好吗？', traits.asks],
  ['We went there last night', traits.dated],
  ['There were 3 of them', traits.numbered],
  ['I met Anna', traits.names],
  ['nothing to see', 0],
])('%j has the traits %d', (text, bits) => {
  expect(traitsOf(text)).toBe(bits);
});

test('a query of any length is read in bounded time and text', () => {
  expect(cuesOf('last tuesday '.repeat(50_000), now).names.length).toBeLessThanOrEqual(64);
});
