import { findSecrets } from '../../src/secrets/detect.ts';
import { passesIban, passesLuhn } from '../../src/secrets/personal.ts';

const found = (text: string, classes = { personal_data: true, contacts: true }) =>
  findSecrets(text, classes).map(({ from, to, kind }) => [kind, text.slice(from, to)]);
/** Returns the number with its check digit. */
const luhn = (digits: string) => [...'0123456789'].map((last) => digits + last).find(passesLuhn)!;
const iban = (country: string, account: string) =>
  Array.from({ length: 97 }, (_, i) => `${country}${String(i + 2).padStart(2, '0')}${account}`).find(passesIban)!;

test('check digits of card numbers and IBANs are verified', () => {
  expect(['4111111111111111', '79927398713', '0'].map(passesLuhn)).toEqual([true, true, true]);
  expect(['4111111111111112', '79927398710', '1'].map(passesLuhn)).toEqual([false, false, false]);
  expect(['DE89370400440532013000', 'DE89 3704 0044 0532 0130 00', 'GB82WEST12345698765432'].map(passesIban)).toEqual([
    true,
    true,
    true,
  ]);
  expect(['DE88370400440532013000', 'GB82WEST12345698765431'].map(passesIban)).toEqual([false, false]);
  const [least, most] = [iban('NO', '12345678901'), iban('XX', '9'.repeat(30))];
  expect([least.length, most.length]).toEqual([15, 34]);
  const checked = (country: string, account: string) => iban(country, account) !== undefined;
  expect([checked('NO', '1234567890'), checked('XX', '9'.repeat(31))]).toEqual([false, false]);
});

test.each<[string, string | undefined]>([
  [luhn('400000000000'), 'card-number'],
  [luhn('40000000000'), undefined],
  [luhn('600000000000000012'), 'card-number'],
  [luhn('6000000000000000123'), undefined],
  ['4111-1111-1111-1111', 'card-number'],
  ['4111 1111 1111 1111', 'card-number'],
  ['4111  1111 1111 1111', undefined],
  ['94111111111111111', undefined],
  ['4111111111111111-2', undefined],
  ['1.4111111111111111', undefined],
  // of no issuer, or a single repeated digit
  [luhn('100000000000012'), undefined],
  ['0000000000000000', undefined],
])('the number %s has the kind %s', (number, kind) => {
  expect(found(`It is ${number}`)).toEqual(kind === undefined ? [] : [[kind, number]]);
});

test.each<[string, string | undefined]>([
  ['ann@corp.com', 'email'],
  ['a.b+c-d_e@x-1.co.uk', 'email'],
  ['ann@corp', undefined],
  ['ann@corp.c', undefined],
  [`${'a'.repeat(64)}@corp.com`, 'email'],
  [`${'a'.repeat(65)}@corp.com`, undefined],
  ['+49 170 1234567', 'phone'],
  ['+1 (415) 555-2671', 'phone'],
  ['+1.415.555.2671', 'phone'],
  ['+14155552671', 'phone'],
  ['+1 234567', undefined],
  ['x+14155552671', undefined],
  ['2+14155552671', undefined],
])('the contact %s has the kind %s', (text, kind) => {
  expect(found(`It is ${text}`)).toEqual(kind === undefined ? [] : [[kind, text]]);
});

test('each class can be enabled separately', () => {
  const text = 'ann@corp.com pays with 4111 1111 1111 1111 from DE89 3704 0044 0532 0130 00';
  const kinds = (classes: { personal_data: boolean; contacts: boolean }) => found(text, classes).map(([kind]) => kind);
  expect(kinds({ personal_data: true, contacts: false })).toEqual(['card-number', 'iban']);
  expect(kinds({ personal_data: false, contacts: true })).toEqual(['email']);
  expect(kinds({ personal_data: false, contacts: false })).toEqual([]);
});
