import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';

// Writes the schemas of the Kubernetes API in the layout of kubeconform to DIR/v<version>: `kubernetes-schemas.ts DIR VERSION…`. They are taken
// from packages, because kubeconform's default repository is not reachable from every network: those of Kubernetes from a Python package with
// the schemas of every release, those of the Prometheus operator from the resource definitions in its Go module.

const KUBERNETES = 'kubernetes-validate==1.37.0';
const OPERATOR = 'github.com/prometheus-operator/prometheus-operator@v0.85.0';
const KINDS = ['servicemonitors', 'prometheusrules'];

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}
interface Definition {
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
  };
}

const [dir, ...versions] = process.argv.slice(2);
if (dir === undefined || versions.length === 0) throw new Error('usage: kubernetes-schemas.ts DIR VERSION…');
const work = mkdtempSync(join(tmpdir(), 'agent-memory-schemas-'));
try {
  const wheel = fetchWheel();
  const definitions = fetchDefinitions();
  for (const version of versions) {
    const out = join(dir, `v${version}.partial`);
    mkdirSync(out, { recursive: true });
    writeKubernetes(join(wheel, 'kubernetes_validate', 'kubernetes-json-schema', `v${version}-local-strict`), out);
    for (const definition of definitions) writeDefinition(definition, out);
    rmSync(join(dir, `v${version}`), { recursive: true, force: true });
    renameSync(out, join(dir, `v${version}`));
  }
} finally {
  rmSync(work, { recursive: true });
}

function fetchWheel(): string {
  const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--disable-pip-version-check', '--dest', work, KUBERNETES];
  execFileSync('python3', pip, { stdio: 'inherit' });
  const file = readdirSync(work).find((name) => name.endsWith('.whl'))!;
  execFileSync('python3', ['-m', 'zipfile', '--extract', join(work, file), join(work, 'wheel')]);
  return join(work, 'wheel');
}

function fetchDefinitions(): Definition[] {
  const module = JSON.parse(execFileSync('go', ['mod', 'download', '-json', OPERATOR], { encoding: 'utf8' })) as { Dir: string };
  const from = join(module.Dir, 'example', 'prometheus-operator-crd');
  return KINDS.map((kind) => parse(readFileSync(join(from, `monitoring.coreos.com_${kind}.yaml`), 'utf8')) as Definition);
}

/** Copies the schemas, and replaces the URLs of their ids and references by relative paths. */
function writeKubernetes(from: string, out: string): void {
  for (const name of readdirSync(from)) {
    const { $id: _, ...schema } = JSON.parse(readFileSync(join(from, name), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(out, name), JSON.stringify(schema).replaceAll('"/api/_definitions.json', '"_definitions.json'));
  }
}

function writeDefinition({ spec }: Definition, out: string): void {
  for (const { name, schema } of spec.versions) {
    const file = `${spec.names.kind}-${spec.group.split('.')[0]}-${name}.json`.toLowerCase();
    writeFileSync(join(out, file), JSON.stringify(strict(schema.openAPIV3Schema)));
  }
}

/** Rejects unknown fields, which the API server would silently drop. */
function strict(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  const closed = properties && additionalProperties === undefined && !schema['x-kubernetes-preserve-unknown-fields'];
  return {
    ...schema,
    ...(properties && { properties: Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, strict(one)])) }),
    ...(items && { items: strict(items) }),
    ...(typeof additionalProperties === 'object' && { additionalProperties: strict(additionalProperties) }),
    ...(closed && { additionalProperties: false }),
  };
}
