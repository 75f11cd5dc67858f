import { findSecrets } from '../../src/secrets/detect.ts';
import { redactJson, redactText } from '../../src/secrets/redact.ts';
import { harmlessTexts, namedSamples, pemKey, tokenSamples } from './samples.ts';

const classes = { personal_data: false, contacts: false };
const redact = (text: string) => redactText(text, findSecrets(text, classes));
const tokens = tokenSamples();
const all = [...tokens, ...namedSamples()];
const cases = (samples: typeof all) => samples.map((one) => [one.kind, one] as const);

test.each(cases(all))('%s is redacted in a text, and nothing else', (_kind, { text, secret }) => {
  const [before, after] = text.split(secret);
  const redacted = redact(`First. ${text}\nThe end.`);
  expect(redacted).not.toContain(secret);
  expect(redacted).toMatch(/\[redacted:[\w-]+\]/);
  expect(redacted.startsWith(`First. ${before}`)).toBe(true);
  expect(redacted.endsWith(`${after}\nThe end.`)).toBe(true);
});

test.each(cases(all))('%s is redacted in nested JSON and in an array of lines', (_kind, { text, secret }) => {
  const { value, found } = redactJson({ a: [{ b: { c: text } }], lines: ['one', text, 'two'], [text]: 1 }, classes, '#');
  expect(JSON.stringify(value)).not.toContain(JSON.stringify(secret).slice(1, -1));
  expect(found.length).toBeGreaterThan(2);
  expect(JSON.stringify(found)).not.toContain(secret);
});

const breaks: Record<string, (a: string, b: string) => string> = {
  'a line break': (a, b) => `${a}\n${b}`,
  'an indented line': (a, b) => `${a}\r\n      ${b}`,
  'a backslash': (a, b) => `${a}\\\n${b}`,
  'quotes and plus': (a, b) => `"${a}" +\n  "${b}"`,
  'quotes and plus in a line': (a, b) => `'${a}' + '${b}'`,
};
test.each(Object.keys(breaks).flatMap((name) => cases(tokens).map(([kind, one]) => [kind, name, one] as const)))(
  '%s broken by %s is found',
  (_kind, name, { secret }) => {
    for (const at of [2, Math.floor(secret.length / 2), secret.length - 8]) {
      const [a, b] = [secret.slice(0, at), secret.slice(at)];
      const redacted = redact(`It is ${breaks[name]!(a, b)}\nand the rest stays.`);
      expect(redacted).toContain('[redacted:');
      expect(redacted).toContain('and the rest stays.');
      expect(redacted.replace(/\s|["'+\\]/g, '')).not.toContain(secret.replace(/\s|["'+\\]/g, ''));
      const rest = b.length > 8 && at > 2 ? b : '~';
      expect(redacted).not.toContain(rest);
    }
  },
);

test('a PEM key is found whole, escaped, truncated, as an array of lines and in Base64', () => {
  const pem = pemKey();
  const line = pem.split('\n')[3]!;
  const escaped = JSON.stringify({ private_key: pem });
  const wrapped = Buffer.from(escaped).toString('base64');
  for (const text of [pem, escaped, JSON.stringify(escaped), pem.slice(0, 400), pem.replaceAll('\n', '\n    '), wrapped]) {
    const redacted = redact(`before\n${text}\nafter`);
    expect(redacted).not.toContain(line);
    expect(redacted).not.toContain(wrapped.slice(100, 160));
    expect(redacted).toMatch(/^before\n[\s\S]*\[redacted:private-key\][\s\S]*after$/);
  }
  const { value } = redactJson({ lines: pem.split('\n') }, classes, '#');
  expect(JSON.stringify(value)).not.toContain(line);
});

test('the name of a field determines how its value is judged', () => {
  const secret = { password: 'swordfish', config: { apiKey: 'q8Zr1kLmN0pT', db: { passwords: ['abcd1', 'efgh2'] } }, pin: 7 };
  const { value, found } = redactJson(secret, classes, '#/content');
  expect(value).toEqual({
    password: '[redacted:password]',
    config: { apiKey: '[redacted:api-key]', db: { passwords: ['[redacted:password]', '[redacted:password]'] } },
    pin: 7,
  });
  expect(found[1]).toEqual({ kind: 'api-key', pointer: '#/content/config/apiKey' });
  const pair = redactJson({ env: [{ name: 'DB_PASSWORD', value: 'swordfish' }] }, classes, '#');
  expect(pair.value.env[0]!.value).toBe('[redacted:password]');
});

test('values that only look like secrets are unchanged', () => {
  const texts = harmlessTexts();
  expect(texts.length).toBeGreaterThanOrEqual(200);
  expect(texts.filter((text) => redact(text) !== text)).toEqual([]);
  const { value, found } = redactJson({ texts, text: texts.join('\n') }, classes, '#');
  expect(found).toEqual([]);
  expect(value.texts).toBe(texts);
});

test('personal data is found if the policy enables it', () => {
  const text = 'Card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, ann@corp.com, +49 170 1234567, 4111 1111 1111 1112';
  expect(redact(text)).toBe(text);
  const on = (personal_data: boolean, contacts: boolean) => redactText(text, findSecrets(text, { personal_data, contacts }));
  expect(on(true, false)).toBe(
    'Card [redacted:card-number], IBAN [redacted:iban], ann@corp.com, +49 170 1234567, 4111 1111 1111 1112',
  );
  expect(on(false, true)).toBe(
    'Card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, [redacted:email], [redacted:phone], 4111 1111 1111 1112',
  );
});
