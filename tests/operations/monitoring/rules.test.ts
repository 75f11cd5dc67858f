import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeWith } from '../../support/tool.ts';

const folder = join(import.meta.dirname, '../../../monitoring');
const promtool = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: folder, encoding: 'utf8' });
  return { status, said: stdout + stderr };
};

describeWith(['promtool'], 'promtool', () => {
  test('promtool accepts the configuration with all rules', () => {
    const { status, said } = promtool('check', 'config', 'prometheus.yml');
    expect([status, said]).toEqual([0, expect.stringContaining('2 rule files found')]);
  });

  test.each(readdirSync(join(folder, 'tests')))('the alerts fire as %s expects', (name) => {
    expect(promtool('test', 'rules', `tests/${name}`)).toEqual({ status: 0, said: expect.stringContaining('SUCCESS') });
  });
});

describeWith(['prometheus-blackbox-exporter'], 'blackbox_exporter', () => {
  test('amtool accepts the configuration', () => {
    const args = ['--config.check', '--config.file=blackbox.yml'];
    const { status, stderr } = spawnSync('prometheus-blackbox-exporter', args, { cwd: folder, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.stringContaining('ok')]);
  });
});
