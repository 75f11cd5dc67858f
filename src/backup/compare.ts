import type { Fingerprint, Manifest } from './schemas.ts';

type Named = Record<string, unknown>;

/** Lists the differences between a manifest and a database, one line each. */
export function differences(expected: Fingerprint, actual: Fingerprint): string[] {
  return [
    ...differencesOf('table', 'name', expected.tables, actual.tables),
    ...differencesOf('tenant', 'tenant_id', expected.tenants, actual.tenants),
  ];
}

function differencesOf(what: string, key: string, expected: Named[], actual: Named[]): string[] {
  const rest = new Map(actual.map((one) => [one[key], one]));
  const lines = expected.flatMap((one) => {
    const other = rest.get(one[key]);
    rest.delete(one[key]);
    if (!other) return `${what} ${one[key]} is missing`;
    const fields = Object.keys(one).filter((field) => one[field] !== other[field]);
    return fields.map((field) => `${what} ${one[key]}: ${field} is ${other[field]}, the manifest has ${one[field]}`);
  });
  return [...lines, ...[...rest.keys()].map((name) => `${what} ${name} is not in the manifest`)];
}

/** Lists the differences in the row counts of a dump. `rows` has the count of each table; tables without rows may be absent. */
export function rowDifferences({ tables }: Manifest, rows: Map<string, number>): string[] {
  const known = new Set(tables.map(({ name }) => name));
  return [
    ...tables.flatMap(({ name, rows: expected }) => {
      const actual = rows.get(name) ?? 0;
      return actual === expected ? [] : `the dump has ${actual} rows of ${name}, the manifest has ${expected}`;
    }),
    ...[...rows.keys()].filter((name) => !known.has(name)).map((name) => `the dump has ${name}, which is not in the manifest`),
  ];
}

/** Returns why this code cannot restore a backup: its schema is newer or different. */
export function schemaMismatch({ version, migrations }: Manifest, known: { name: string; hash: string }[]): string | undefined {
  if (migrations.length > known.length)
    return (
      `The backup is newer than this code: it was made by version ${version} and has migration ${migrations.length}, this code has ${known.length}. ` +
      'Restore it with the release that made it.'
    );
  const other = migrations.find(({ hash }, i) => hash !== known[i]!.hash);
  return other && `The schema of the backup is different from that of this code: migration ${other.name} differs.`;
}
