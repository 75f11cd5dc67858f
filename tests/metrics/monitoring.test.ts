import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { send } from '../support/client.ts';
import { startTestDaemon } from '../support/daemon.ts';

// Compares monitoring/ and docs/ with the metrics. Tests that need Prometheus are in tests/operations/monitoring.

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const listed = (folder: string, ending: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`);

interface Alert {
  alert: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
const alerts: Alert[] = parse(read('monitoring/rules/alerts.yml')).groups.flatMap(({ rules }: { rules: Alert[] }) => rules);

test('docs/monitoring.md lists exactly the metrics of a daemon, each once', async () => {
  // with Redis, which has metrics even if it is unreachable
  const daemon = await startTestDaemon({ REDIS_URL: 'redis://127.0.0.1:1' });
  try {
    const { body } = await send<string>(daemon.url, 'GET', '/metrics');
    const exposed = [...body.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    const rows = [...read('docs/monitoring.md').matchAll(/^\| `(\w+)` \| (counter|gauge|histogram|summary) \|/gm)];
    expect(rows.map(([, name, type]) => `${name} ${type}`).sort()).toEqual(exposed.sort());
  } finally {
    await daemon.stop();
  }
});

test('each alert has a runbook, and each runbook an alert', () => {
  expect(alerts.map(({ annotations }) => annotations.runbook).sort()).toEqual(listed('docs/runbooks', '.md').sort());
  for (const { alert, annotations, labels } of alerts) {
    expect(annotations.runbook).toBe(`docs/runbooks/${alert}.md`);
    expect(read(annotations.runbook!)).toMatch(new RegExp(`^# ${alert}\n\n\\S[^]*\n## Diagnosis\n[^]*\n## Remedy\n`));
    expect(annotations.summary).toBeTruthy();
    expect(['page', 'ticket']).toContain(labels.severity);
  }
});

test('links in runbooks resolve', () => {
  const pages = ['docs/monitoring.md', ...listed('docs/runbooks', '.md')];
  const links = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => join(page, '..', target!)),
  );
  expect(links.length).toBeGreaterThan(20);
  expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
});

test('each alert has a test that fires it and one that does not', () => {
  interface Case {
    alert_rule_test: { alertname: string; exp_alerts: unknown[] }[];
  }
  const cases = listed('monitoring/tests', '.yml').flatMap((file) =>
    (parse(read(file)).tests as Case[]).flatMap((one) => one.alert_rule_test),
  );
  const tried = (fires: boolean) =>
    new Set(cases.filter(({ exp_alerts }) => exp_alerts.length > 0 === fires).map(({ alertname }) => alertname));
  const names = alerts.map(({ alert }) => alert).sort();
  expect([...tried(true)].sort()).toEqual(names);
  expect([...tried(false)].sort()).toEqual(names);
});

test('dashboards use the provisioned data source, and no two panels share an id or a position', () => {
  const [{ uid }] = parse(read('monitoring/grafana/provisioning/datasources/prometheus.yml')).datasources;
  const boards = listed('monitoring/grafana/dashboards', '.json');
  expect(boards.map((file) => basename(file))).toEqual(['control.json', 'database.json', 'overview.json', 'work.json']);
  for (const board of boards) {
    const { panels } = JSON.parse(read(board)) as { panels: Panel[] };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { datasource, targets } of panels)
      for (const one of [datasource, ...targets.map((target) => target.datasource)]) expect(one.uid).toBe(uid);
    const positions = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(positions).size).toBe(positions.length);
  }
});

interface Panel {
  id: number;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource: { uid: string };
  targets: { datasource: { uid: string } }[];
}
