import type { Span } from './tokens.ts';

// Finds personal data, for tenants that enable it: numbers with valid check digits, and contact details.

const card = /(?<![\d.-])(?:\d[ -]?){12,18}\d(?![\d-])/g;
const iban = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])/g;
const email = /(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}(?![\w-])/g;
const phone = /(?<![\w.+-])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,12}(?![\w-])/g;

/** Verifies the check digit of a card number (ISO/IEC 7812-1, annex B). */
export function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i += 1) {
    const digit = Number(digits[digits.length - 1 - i]);
    sum += i % 2 === 0 ? digit : digit < 5 ? digit * 2 : digit * 2 - 9;
  }
  return sum % 10 === 0;
}

/** Verifies the check digits of an IBAN (ISO 13616): the number modulo 97 is 1. */
export function passesIban(text: string): boolean {
  const plain = text.replaceAll(' ', '');
  if (plain.length < 15 || plain.length > 34) return false;
  let rest = 0;
  for (const character of plain.slice(4) + plain.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}

// Issuers' ranges: https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)
const issuer = /^(?:4|5[1-5]|2[2-7]|3[4-7]|30|36|38|39|6)/;
const isCard = (text: string): boolean => {
  const digits = text.replace(/[ -]/g, '');
  return digits.length >= 13 && issuer.test(digits) && new Set(digits).size > 1 && passesLuhn(digits);
};

export interface Classes {
  /** Card numbers and IBANs. */
  personal_data: boolean;
  /** Email addresses and telephone numbers. */
  contacts: boolean;
}

export function personalData(text: string, { personal_data, contacts }: Classes, found: Span[]): void {
  const add = (expression: RegExp, kind: string, is: (match: string) => boolean) => {
    for (const match of text.matchAll(expression))
      if (is(match[0])) found.push({ from: match.index, to: match.index + match[0].length, kind, exact: true });
  };
  if (personal_data && /\d/.test(text)) {
    add(card, 'card-number', isCard);
    add(iban, 'iban', passesIban);
  }
  if (contacts) {
    add(email, 'email', () => true);
    add(phone, 'phone', () => true);
  }
}

export const personalKinds: ReadonlySet<string> = new Set(['card-number', 'iban', 'email', 'phone']);
