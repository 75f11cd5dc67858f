import { type Caller, visibilityById } from '../auth/index.ts';
import type { EventRow, Outcome } from '../db/unit.ts';
import { Problem } from '../http/problem.ts';
import { parseTime } from '../time.ts';
import type { StateObject } from './schemas.ts';
import { objectOf, readWritten, type WrittenRow } from './sql.ts';

// The results of changes: from the outcome of the commit, or for a retry from the log.

type Gone = Pick<StateObject, 'namespace' | 'key' | 'version' | 'commit_seq'>;

/** A change that was written. */
interface Written {
  /** The object, or the version that ended it. */
  result: StateObject | Gone;
  /** The key had no live object before. */
  created: boolean;
}

/** The results of a request, in the order of its changes. */
export interface Outcomes {
  written: Written[];
  replay: boolean;
}

/** What state_apply returns for a change. */
interface Applied extends Omit<StateObject, 'body' | 'tags' | 'commit_seq' | 'redactions'> {
  n: number;
  seq: number;
  is_new: boolean;
}

/** Returns what a unit wrote. `events`: those of the request, one per change. */
export function writtenBy(events: EventRow[], { at, made = {} }: Outcome): Outcomes {
  const byChange = new Map(
    Object.entries(made).flatMap(([name, doc]) => (name.startsWith('state/') ? [[(doc as Applied).n, doc as Applied]] : [])),
  );
  const written = events.map((event, n) => writtenOf(event, byChange.get(n)!, at));
  return { written, replay: false };
}

function writtenOf({ kind, effects, redactions }: EventRow, applied: Applied, updated_at: string): Written {
  if (kind === 'state.deleted') return { result: goneOf(applied), created: false };
  const { body, tags } = effects!.state as { body: unknown; tags: Record<string, string> };
  const times = {
    created_at: parseTime(applied.created_at)!,
    updated_at,
    expires_at: parseTime(applied.expires_at ?? '') ?? null,
  };
  return { result: withRedactions({ ...applied, body, tags, ...times } as never, redactions), created: applied.is_new };
}

/** Returns what the changes of a unit that was committed before wrote, as far as the caller may see it now. */
export async function replayOf({ tenant, principal }: Caller, { seq, count }: Outcome, changes: number): Promise<Outcomes> {
  const rows = await tenant.read((db) => readWritten(db, tenant.id, seq, count, visibilityById(principal)));
  if (rows.length < changes) throw new Problem('not-found', 'There is no object with this key.');
  return { written: rows.map(replayed), replay: true };
}

function replayed({ kind, erased, was_live, redactions, ...row }: WrittenRow): Written {
  if (erased) throw new Problem('gone', 'The object was erased.');
  if (kind === 'state.deleted') return { result: goneOf(row), created: false };
  return { result: withRedactions(row as never, redactions ?? undefined), created: !was_live };
}

const withRedactions = (row: Parameters<typeof objectOf>[0], redactions: number | undefined): StateObject => ({
  ...objectOf(row),
  ...(redactions !== undefined && { redactions }),
});

const goneOf = ({ namespace, key, version, seq }: Pick<WrittenRow, 'namespace' | 'key' | 'version' | 'seq'>): Gone => ({
  namespace,
  key,
  version,
  commit_seq: seq,
});
