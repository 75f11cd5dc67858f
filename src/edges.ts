// The allowed dependencies between the folders of src. Imports (tests/architecture.test.ts) and calls between SQL functions must follow them,
// and each `functions.sql` is applied after those of the folders that it uses (src/db/functions.ts).

export const edges: Record<string, readonly string[]> = {
  agents: ['auth', 'erasure', 'metrics', 'redis'],
  artifacts: ['auth', 'secrets', 'work'],
  audit: ['auth'],
  auth: [],
  backup: [],
  capabilities: ['auth', 'erasure', 'limits'],
  capsules: ['auth', 'memories', 'passages', 'search'],
  compat: ['auth', 'follow', 'health', 'jobs', 'leases', 'snapshots', 'state'],
  consistency: ['auth', 'events', 'jobs', 'passages'],
  context: ['auth', 'capsules', 'edits', 'embeddings', 'filter', 'memories', 'passages', 'search'],
  doctor: ['limits', 'redis'],
  edits: ['auth', 'passages'],
  embeddings: ['metrics', 'passages'],
  erasure: ['auth', 'jobs'],
  events: ['artifacts', 'auth', 'filter', 'follow', 'passages', 'refs', 'secrets', 'work'],
  export: ['artifacts', 'auth', 'consistency', 'events', 'follow', 'jobs', 'passages', 'secrets', 'tenants'],
  filter: [],
  follow: ['auth', 'metrics'],
  guard: [],
  health: ['auth'],
  jobs: ['auth'],
  leases: ['auth', 'secrets'],
  limits: ['redis'],
  mandates: ['agents', 'auth', 'erasure', 'metrics', 'redis', 'secrets'],
  memories: ['auth', 'edits', 'filter', 'passages', 'refs', 'secrets'],
  metrics: ['auth'],
  passages: [],
  policies: ['auth', 'mandates'],
  redis: ['metrics'],
  refs: ['auth'],
  retention: ['auth', 'erasure', 'jobs'],
  search: ['auth', 'edits', 'embeddings', 'filter', 'memories', 'passages'],
  secrets: [],
  snapshots: ['auth', 'state'],
  state: ['auth', 'filter', 'follow', 'secrets'],
  tenants: ['auth', 'erasure', 'secrets'],
  webhooks: ['auth', 'events', 'filter', 'follow'],
  work: [],
};

/** Returns the folders in dependency order. `db` comes first, because every folder uses it. */
export function foldersInOrder(): string[] {
  const ordered = new Set(['db']);
  const visit = (folder: string): void => {
    for (const used of edges[folder] ?? []) visit(used);
    ordered.add(folder);
  };
  for (const folder of Object.keys(edges).sort()) visit(folder);
  return [...ordered];
}
