import { onAnyObject } from '../http/name.ts';
import { compareTimes, parseTime, timeNow } from '../time.ts';

// Rules over several fields of a memory. They also run on requests with other faults, so that all faults are reported at once.

interface TimedFields {
  sensitivity?: string | undefined;
  scope?: string | undefined;
  project_id?: string | undefined;
  session_id?: string | undefined;
  valid_from?: string | undefined;
  valid_to?: string | undefined;
  expires_at?: string | undefined;
}
type Rule = [field: keyof TimedFields, detail: string, holds: (fields: TimedFields) => boolean];

/** Returns true also if one of them is not a time: the schema of the field reports that. */
function isBefore(one: unknown, other: unknown): boolean {
  const [first, then] = [parseTime(String(one)), parseTime(String(other))];
  return first === undefined || then === undefined || compareTimes(first, then) < 0;
}

const scopeRules: Rule[] = [
  [
    'sensitivity',
    'must not be "secret": the content of secret items is not stored',
    ({ sensitivity }) => sensitivity !== 'secret',
  ],
  ['project_id', 'required with the scope "project"', ({ scope, project_id }) => scope !== 'project' || project_id !== undefined],
  ['session_id', 'required with the scope "session"', ({ scope, session_id }) => scope !== 'session' || session_id !== undefined],
];
const timeRules: Rule[] = [
  ['valid_to', 'must be after valid_from', ({ valid_from, valid_to }) => isBefore(valid_from, valid_to)],
  ['expires_at', 'must be after valid_from', ({ valid_from, expires_at }) => isBefore(valid_from, expires_at)],
  ['expires_at', 'must be in the future', ({ expires_at }) => isBefore(timeNow(), expires_at)],
];

/** Returns the schema with these rules added. */
export const withFieldRules = <Schema extends { refine(holds: Rule[2], params: object): Schema }>(schema: Schema): Schema =>
  [...scopeRules, ...timeRules].reduce(
    (checked, [field, message, holds]) => checked.refine(holds, { path: [field], message, when: onAnyObject }),
    schema,
  );

export const timeFaults = (fields: TimedFields): { field: string; detail: string }[] =>
  timeRules.filter(([, , holds]) => !holds(fields)).map(([field, detail]) => ({ field, detail }));
