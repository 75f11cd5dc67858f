import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  const { status } = await alice.request('POST', '/v1/events', {
    body: { events: [...found.map(([, text]) => text), ...others].map((text, i) => message(text, { session_id: `s${i}` })) },
  });
  expect(status).toBe(201);
});
afterAll(() => daemon.stop());

/** [query, the text that it finds first] */
const found: [string, string][] = [
  ['跳舞的人', '小明在圣诞节晚会上跳舞，感觉非常开心。'],
  ['認証', '認証はOAuth2を使う'],
  ['カタカナ', 'この製品のカタカナ表記を確認した'],
  ['회의', '내일 회의는 오전에 시작합니다'],
  ['ประชุม', 'เราจะประชุมกันพรุ่งนี้'],
  ['ကျောင်း', 'ကလေးများ ကျောင်းသွားကြသည်'],
  ['សាលា', 'កុមារទៅសាលារៀន'],
  ['ໂຮງຮຽນ', 'ເດັກນ້ອຍໄປໂຮງຮຽນ'],
  ['книга', 'Мы читали интересные книги вчера'],
  ['βιβλίο', 'Διαβάσαμε ένα βιβλίο χθες'],
  ['كتاب', 'قرأت هذا الكتاب أمس'],
  ['cafe', 'Wir trafen uns im Café am Markt'],
  ['strasse', 'Die Straße war gesperrt'],
  ['Åarhus smorrebrod', 'Vi spiste smørrebrød i byen'],
  ['ｐｒｉｃｅ', 'The price is fixed'],
];
const others = [
  '我喜欢数学和科学',
  '今天天气很好',
  'OAuth1 is old',
  '明日は休みです',
  'Der Weg war frei',
  'My cafeteria is closed',
  'nothing at all',
];

const search = async (query: string): Promise<string[]> => {
  const { status, body } = await alice.request('POST', '/v1/search', { body: { query } });
  expect(status).toBe(200);
  return body.data.map(({ text }: { text: string }) => text);
};

test.each(found)('%j finds %j', async (query, text) => {
  expect((await search(query))[0]).toBe(text);
});

test('a script that meets another ends a word', async () => {
  expect((await search('OAuth2'))[0]).toBe('認証はOAuth2を使う');
});

test('a passage with the accent of the query ranks before one without it', async () => {
  const bob = await newTenant(daemon.url);
  await bob.request('POST', '/v1/events', { body: { events: [message('resume sent'), message('résumé sent')] } });
  const { body } = await bob.request('POST', '/v1/search', { body: { query: 'résumé' } });
  expect(body.data.map(({ text }: { text: string }) => text)).toEqual(['résumé sent', 'resume sent']);
});

test('of a long query in an unspaced script every part counts', async () => {
  const long = `${'嘿，你知道吗？元旦晚会我要表演魔术，我也会有点紧张，你有没有什么建议可以让我不那么紧张？'.repeat(2)}另外，我特别喜欢科学。`;
  expect(await search(long)).toContain('我喜欢数学和科学');
});

describe('in a tenant whose language is English', () => {
  /** [text, a query with another form of one of its words] */
  const inflected: [string, string][] = [
    ['Die Häuser am See sind teuer, aber wir haben eins gekauft', 'Wo ist das Haus?'],
    ['Nous avons dit que les chevaux sont dans la prairie', 'où est le cheval de ma soeur ?'],
    ['Las reuniones de los lunes son muy largas', '¿cuándo es la reunión de los jefes?'],
    ['Abbiamo comprato due biglietti per il concerto della sera', 'dove sono i biglietti che ho comprato per il viaggio?'],
    ['Ontem compramos uma casa e não é muito cara', 'quando é que ele vai comprar isso?'],
    ['De kinderen hebben de sleutels van het huis verloren', 'wie heeft een sleutel van het kind?'],
    ['Barnen leker i parken och det är en fin dag för dem', 'var är ett barn som leker i en park?'],
  ];

  test.each(inflected)('%j is found by another form of its words', async (text, query) => {
    const bob = await newTenant(daemon.url);
    const events = [message(text), message('The house is by the lake and we like it', { session_id: 'other' })];
    expect((await bob.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
    const { body } = await bob.request('POST', '/v1/search', { body: { query } });
    expect(body.data[0].text).toBe(text);
  });

  test('English is stemmed as before, and function words of another language find nothing', async () => {
    const bob = await newTenant(daemon.url);
    const events = [
      message('The houses were sold'),
      message('Wir sind mit dem Zug nach Hamburg gefahren', { session_id: 'other' }),
    ];
    expect((await bob.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
    const find = async (query: string) => (await bob.request('POST', '/v1/search', { body: { query } })).body.data;
    expect((await find('house'))[0].text).toBe('The houses were sold');
    expect(await find('dem')).toEqual([]);
    expect(await find('Hamburg')).toHaveLength(1);
  });

  test('an edited passage has the terms of its language', async () => {
    const bob = await newTenant(daemon.url);
    const { body } = await bob.request('POST', '/v1/events', { body: { events: [message('Nothing about that yet')] } });
    const corrected = 'Die Häuser am See sind teuer, aber wir haben eins gekauft';
    const edit = { target: body.data[0].event_id, op: 'amend', reason: 'translated', patch: { text: corrected } };
    const proposed = await bob.request('POST', '/v1/edits', { body: edit });
    expect(proposed.status).toBe(201);
    expect((await bob.request('POST', `/v1/edits/${proposed.body.edit_id}/approve`, { body: {} })).status).toBe(200);
    const found = await bob.request('POST', '/v1/search', { body: { query: 'Wo ist das Haus?' } });
    expect(found.body.data.map(({ text }: { text: string }) => text)).toEqual([corrected]);
  });
});

test('a tenant with the language `simple` has words as they are, in whatever language', async () => {
  const bob = await newTenant(daemon.url);
  expect((await bob.request('PATCH', '/v1/tenant', { body: { language: 'simple' } })).status).toBe(200);
  const text = 'Die Häuser am See sind teuer, aber wir haben eins gekauft';
  expect((await bob.request('POST', '/v1/events', { body: message(text) })).status).toBe(201);
  const find = async (query: string) => (await bob.request('POST', '/v1/search', { body: { query } })).body.data.length;
  expect([await find('Haus kaufen'), await find('Häuser')]).toEqual([0, 1]);
});

test('a context finds text of an unspaced script', async () => {
  const { body } = await alice.request('POST', '/v1/context?render=text', {
    body: { session_id: 'x', channel: 'private', query_text: '数学', max_tokens: 2000 },
  });
  expect(body.text).toContain('我喜欢数学和科学');
});
