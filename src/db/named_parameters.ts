/**
 * A statement whose parameters have names (`$session_id`), as the database takes it: numbered, with the values in that order. `first` are
 * the values of `$1`, `$2` … that the statement numbers itself.
 */
export function bindNamed(
  text: string,
  values: Record<string, unknown>,
  first: readonly unknown[] = [],
): [text: string, values: unknown[]] {
  const names: string[] = [];
  const numbered = text.replaceAll(/\$([a-z][a-z_]*)/g, (_, name: string) => {
    if (!(name in values)) throw new Error(`the statement names ${name}, which has no value`);
    if (!names.includes(name)) names.push(name);
    return `$${first.length + names.indexOf(name) + 1}`;
  });
  return [numbered, [...first, ...names.map((name) => values[name])]];
}
