import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Command } from 'commander';
import { parse, parseAllDocuments } from 'yaml';

// Copies the rules and dashboards of monitoring/ into the Helm chart, which cannot read files outside of itself. The manifests for kubectl are
// rendered from the chart (scripts/render-kubernetes.sh). `--check` compares these too, because helm is not installed everywhere.

const root = join(import.meta.dirname, '..');
const chart = 'kubernetes/helm/agent-memory';
const RULES = 'monitoring/rules';
const DASHBOARDS = 'monitoring/grafana/dashboards';
const copies = { [RULES]: `${chart}/rules`, [DASHBOARDS]: `${chart}/dashboards` };

const read = (file: string) => readFileSync(join(root, file), 'utf8');
const filesOf = (folder: string): Map<string, string> =>
  new Map(readdirSync(join(root, folder)).map((name) => [name, read(`${folder}/${name}`)]));

new Command('npm run monitoring --')
  .description('Copies the rules and the dashboards of monitoring/ into the Helm chart.')
  .option('--check', 'write nothing; fail if a copy or a manifest in kubernetes/ is not up to date')
  .action(({ check }: { check?: boolean }) => {
    if (!check) return Object.entries(copies).forEach(copy);
    const stale = [
      ...Object.entries(copies)
        .filter(differ)
        .map(([, to]) => to),
      ...staleManifests(),
    ];
    if (stale.length === 0) return console.error('the copies of monitoring/ are up to date');
    console.error(`error: differs from monitoring/: ${stale.join(', ')}.`);
    console.error('Run `npm run monitoring` and scripts/render-kubernetes.sh, and commit their output.');
    process.exitCode = 1;
  })
  .parse();

function copy([from, to]: [string, string]): void {
  const files = filesOf(from);
  for (const name of filesOf(to).keys()) if (!files.has(name)) rmSync(join(root, to, name));
  for (const [name, text] of files) writeFileSync(join(root, to, name), text);
}

function differ([from, to]: [string, string]): boolean {
  return !isDeepStrictEqual(filesOf(from), filesOf(to));
}

function staleManifests(): string[] {
  const boards = new Map(Object.entries(manifest('dashboards').data).map(([name, text]) => [name, JSON.parse(text as string)]));
  const wanted = new Map([...filesOf(DASHBOARDS)].map(([name, text]) => [`agent-memory-${name}`, JSON.parse(text)]));
  return [
    ...(isDeepStrictEqual(manifest('prometheusrule').spec.groups, groupsOfChart()) ? [] : ['kubernetes/prometheusrule.yaml']),
    ...(isDeepStrictEqual(boards, wanted) ? [] : ['kubernetes/dashboards.yaml']),
  ];
}

function manifest(name: string) {
  return parseAllDocuments(read(`kubernetes/${name}.yaml`))[0]!.toJS();
}

/** All groups except those that the chart omits, by name, unless exporters are configured. */
function groupsOfChart(): unknown[] {
  const template = read(`${chart}/templates/prometheusrule.yaml`);
  const groups = [...filesOf(RULES).values()].flatMap((text) => parse(text).groups as { name: string }[]);
  return groups.filter(({ name }) => !template.includes(`"${name}"`));
}
