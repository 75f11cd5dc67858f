import { correct, nearest } from '../../src/search/spelling.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

async function record(by: Client, ...events: object[]): Promise<void> {
  expect((await by.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
}
async function search(by: Client, query: string, more = {}) {
  const { status, body } = await by.request('POST', '/v1/search', { body: { query, ...more } });
  expect(status).toBe(200);
  return { texts: body.data.map(({ text }: { text: string }) => text), corrected: body.corrected };
}

const told = 'Caroline moved to Lisbon';

test.each([
  ['karoline', { karoline: 'caroline' }],
  ['Carolnie', { carolnie: 'caroline' }],
  ['lisbom', { lisbom: 'lisbon' }],
])('a query for %j alone finds what was meant, and the response names the correction', async (query, corrected) => {
  await record(alice, message(told), message('The parser is slow'));
  const found = await search(alice, query);
  expect([found.texts[0], found.corrected]).toEqual([told, corrected]);
});

test('next to words that match, only a word with a capital letter is corrected', async () => {
  await record(alice, message(told), message('Anna moved the parser', { session_id: 's2' }));
  const name = await search(alice, 'Where moved Karoline?');
  expect([name.texts[0], name.corrected]).toEqual([told, { karoline: 'caroline' }]);
  expect((await search(alice, 'where moved karoline?')).corrected).toBeUndefined();
});

test('an actor is found by a misspelt name', async () => {
  await record(alice, message('I prefer tea', { actor: { type: 'human', id: 'Katherine' } }));
  expect(await search(alice, 'Kathrine')).toEqual({ texts: ['I prefer tea'], corrected: { kathrine: 'katherine' } });
});

test('a context is searched with the corrected name and has the correction in its provenance', async () => {
  await record(alice, message(told));
  const { body } = await alice.request('POST', '/v1/context', {
    body: { session_id: 'x', channel: 'private', query_text: 'karoline', max_tokens: 2000 },
  });
  expect(body.provenance).toMatchObject({ query_terms: ['carolin'], corrected: { karoline: 'caroline' } });
});

test('a word that names a property of every object remains as it is', async () => {
  await record(alice, message('The kubernetes deployment is slow'));
  const { body } = await alice.request('POST', '/v1/context', {
    body: { session_id: 'x', channel: 'private', query_text: 'Why does the Kuberntes constructor fail', max_tokens: 2000 },
  });
  expect(body.provenance.corrected).toEqual({ kuberntes: 'kubernetes' });
  expect(body.provenance.query_terms).toHaveLength(3);
});

test('a misspelt word is corrected where it is not quoted', () => {
  const corrections = new Map([['karoline', 'caroline']]);
  expect(correct('Karoline said "karoline" and “Karoline”', corrections)).toBe('caroline said "karoline" and “Karoline”');
});

test('words that occur, short words, quoted words and words that resemble none are not corrected', async () => {
  await record(alice, message(told), message('Jan met Karolina', { session_id: 's2' }));
  for (const query of ['Karolina', 'Jane', '"karoline"', 'Zanzibar', 'E1234567'])
    expect([query, (await search(alice, query)).corrected]).toEqual([query, undefined]);
});

test('a correction uses no word that the caller may not read', async () => {
  await record(alice, message('The codename is Bluebird'));
  const colleague = await newColleague(alice);
  const stranger = await newTenant(daemon.url);
  await record(colleague, message('nothing here'));
  await record(stranger, message('nothing here'));
  expect((await search(alice, 'bluebrid')).corrected).toEqual({ bluebrid: 'bluebird' });
  for (const other of [colleague, stranger])
    for (const channel of ['private', 'team']) expect((await search(other, 'bluebrid', { channel })).corrected).toBeUndefined();
});

test('a correction uses the words of the scope of the request alone', async () => {
  await record(alice, message('The codename is Bluebird', { project_id: 'one' }), message('nothing here', { project_id: 'two' }));
  expect((await search(alice, 'bluebrid', { project_id: 'one' })).corrected).toEqual({ bluebrid: 'bluebird' });
  expect((await search(alice, 'bluebrid', { project_id: 'two' })).corrected).toBeUndefined();
});

test('the nearest word differs in one letter, in two from eight letters on; a swap is one difference', () => {
  expect(nearest('lisbom', ['london', 'lisbon'])).toBe('lisbon');
  expect(nearest('libson', ['lisbon'])).toBe('lisbon');
  expect(nearest('lizbom', ['lisbon'])).toBeUndefined();
  expect(nearest('postgress', ['postgresql'])).toBe('postgresql');
  expect(nearest('postgrass', ['postgresql', 'postgres'])).toBe('postgres');
  expect(nearest('lisbon', ['lisbos', 'lisbom'])).toBe('lisbos');
  expect(nearest('lisbon', [])).toBeUndefined();
});

test('the letters that are compared grow with the length of a word, not with its square', () => {
  let read = 0;
  const letters = new Proxy(new String(`${'a'.repeat(30)}xyz`), {
    get: (text, name) => {
      if (/^\d+$/.test(String(name))) read += 1;
      return Reflect.get(text, name);
    },
  }) as unknown as string;
  expect(nearest(`${'a'.repeat(30)}uvw`, [letters])).toBeUndefined();
  expect(read).toBeLessThan(2 * 5 * 33);
});
