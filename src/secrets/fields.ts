import type { Screener } from './policy.ts';

/** The body with the secrets cut out of what these pointers (`reason`, `patch/text`) name; whatever else it is, the schema says. */
export function cutFields(screener: Screener, body: unknown, pointers: string[]): unknown {
  return pointers.reduce((kept, pointer) => cutAt(screener, kept, pointer.split('/'), '#'), body);
}

function cutAt(screener: Screener, value: unknown, [name, ...rest]: string[], path: string): unknown {
  if (name === undefined) return screener.screen(value, { pointer: path, aad: '' }).value;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return value;
  const held = (value as Record<string, unknown>)[name];
  const kept = cutAt(screener, held, rest, `${path}/${name}`);
  return kept === held ? value : { ...value, [name]: kept };
}
