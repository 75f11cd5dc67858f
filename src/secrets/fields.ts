import type { Screener } from './policy.ts';

/**
 * Redacts the secrets in the `freeText` members of a body (`reason`, `patch/text`), and rejects a body with a secret in an `unredactable` member. The
 * body may
 * have any other shape; its schema is checked later.
 */
export function screenFields(
  screener: Screener,
  body: unknown,
  { freeText, unredactable }: { freeText: string[]; unredactable: string[] },
): unknown {
  for (const name of unredactable) if (isObject(body) && Object.hasOwn(body, name)) screener.refuse(body[name], `#/${name}`);
  return freeText.reduce((redacted, pointer) => redactAt(screener, redacted, pointer.split('/'), '#'), body);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function redactAt(screener: Screener, value: unknown, [name, ...rest]: string[], path: string): unknown {
  if (name === undefined) return screener.screen(value, { pointer: path, aad: '' }).value;
  if (!isObject(value) || !Object.hasOwn(value, name)) return value;
  const member = value[name];
  const redacted = redactAt(screener, member, rest, `${path}/${name}`);
  return redacted === member ? value : { ...value, [name]: redacted };
}
