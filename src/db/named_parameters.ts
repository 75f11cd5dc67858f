/**
 * Replaces named parameters (`$session_id`) by numbered ones. Returns the statement and the values in their order. `first` has the values of
 * the parameters that the statement itself numbers: `$1`, `$2`, ….
 */
export function bindNamed(
  text: string,
  values: Record<string, unknown>,
  first: readonly unknown[] = [],
): [text: string, values: unknown[]] {
  const names: string[] = [];
  const numbered = text.replaceAll(/\$([a-z][a-z_]*)/g, (_, name: string) => {
    if (!(name in values)) throw new Error(`the parameter ${name} of the statement has no value`);
    if (!names.includes(name)) names.push(name);
    return `$${first.length + names.indexOf(name) + 1}`;
  });
  return [numbered, [...first, ...names.map((name) => values[name])]];
}
