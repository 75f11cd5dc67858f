import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Check, Report } from './schemas.ts';
import {
  checkLog,
  checkReadable,
  checkReadableRows,
  checkRows,
  type Finding,
  type FindUnreadable,
  type LogState,
  measureRange,
  readLogState,
  seqRanges,
} from './sql.ts';

// Checks counters and derived data, one range of the log at a time, while the tenant is being written to.

const SAMPLE = 5;
/** Tolerance of stored_bytes: it counts bytes of requests, which the stored rows reveal only approximately. */
const SLACK = 0.5;
const SLACK_BYTES = 64 * 1024;

export interface CheckResult {
  report: Report;
  /** Nouns whose hooks found a difference. */
  wrongNouns: Set<string>;
  logState: LogState;
  /** Number of rows of the log up to `logState.last_seq`, and their approximate bytes. */
  events: number;
  bytes: number;
}

export async function checkTenant(
  tenant: Tenant,
  finders: FindUnreadable[],
  progress: (done: number) => unknown = () => undefined,
): Promise<CheckResult> {
  const logState = await readLogState(tenant);
  if (!logState) throw new Problem('not-found', 'The tenant no longer exists.');
  const findings = new Map<string, Finding>();
  const first = Math.min(logState.oldest_seq, logState.lowest ?? logState.oldest_seq);
  const last = Math.max(logState.last_seq, logState.highest ?? 0);
  let bytes = logState.stored_outside_log;
  for await (const range of seqRanges(tenant, first, last)) {
    for (const finding of await checkLog(tenant, range.from, range.to)) add(findings, finding);
    add(findings, await checkReadable(tenant, range));
    bytes += await measureRange(tenant, range.from, range.to);
    await progress(range.to);
  }
  for await (const finding of checkRows(tenant)) add(findings, finding);
  for await (const finding of checkReadableRows(tenant, finders)) add(findings, finding);
  const seq = findings.get('seq');
  const events = seq ? seq.checked - seq.wrong : 0;
  for (const finding of clockFindings(logState, events, bytes)) add(findings, finding);
  const checks = [...findings.values()].map(toCheck).sort((a, b) => (a.name < b.name ? -1 : 1));
  const report = { ok: checks.every(({ ok }) => ok), as_of_seq: logState.last_seq, rebuilding: logState.rebuilding, checks };
  const wrong = [...findings.values()].filter((finding) => finding.wrong > 0);
  return { report, wrongNouns: new Set(wrong.flatMap(({ noun }) => noun ?? [])), logState, events, bytes };
}

function add(findings: Map<string, Finding>, { noun, name, checked, wrong, sample }: Finding): void {
  const before = findings.get(name) ?? { checked: 0, wrong: 0, sample: [] };
  findings.set(name, {
    ...(noun !== undefined && { noun }),
    name,
    checked: before.checked + checked,
    wrong: before.wrong + wrong,
    sample: [...before.sample, ...sample].slice(0, SAMPLE),
  });
}

function clockFindings(logState: LogState, events: number, bytes: number): Finding[] {
  const { last_seq, oldest_seq, event_count, stored_bytes, highest, lowest } = logState;
  const isPlausible = Math.abs(stored_bytes - bytes) <= bytes * SLACK + SLACK_BYTES;
  return [
    one('last_seq', highest === null || highest <= last_seq, { expected: highest, found: last_seq }),
    one('oldest_seq', lowest === null || lowest >= oldest_seq, { expected: lowest, found: oldest_seq }),
    one('event_count', event_count === events, { expected: events, found: event_count }),
    one('stored_bytes', isPlausible, { about: bytes, found: stored_bytes }),
  ];
}

const one = (name: string, ok: boolean, what: unknown): Finding => ({
  name,
  checked: 1,
  wrong: ok ? 0 : 1,
  sample: ok ? [] : [what],
});

const toCheck = ({ name, checked, wrong, sample }: Finding): Check => ({ name, ok: wrong === 0, checked, wrong, sample });
