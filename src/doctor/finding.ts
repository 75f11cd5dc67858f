/** The result of a check, and the next command to run. */
export interface Finding {
  check: string;
  state: 'ok' | 'warning' | 'failed' | 'skipped';
  says: string;
  next?: string;
}

export const ok = (check: string, says: string): Finding => ({ check, state: 'ok', says });
export const skipped = (check: string, says: string): Finding => ({ check, state: 'skipped', says });
export const warning = (check: string, says: string, next: string): Finding => ({ check, state: 'warning', says, next });
export const failed = (check: string, says: string, next: string): Finding => ({ check, state: 'failed', says, next });

/** Returns the findings, or `ok` if there are none. */
export const findingsOrOk = (check: string, says: string, findings: Finding[]): Finding[] =>
  findings.length > 0 ? findings : [ok(check, says)];

/** Returns the command line of one of the service's scripts. The production image has neither npm nor tsx. */
export const command = (script: string, args = ''): string =>
  import.meta.filename.endsWith('.js')
    ? `node dist/scripts/${script}.js ${args}`.trim()
    : `npm run ${script}${args && ` -- ${args}`}`;
