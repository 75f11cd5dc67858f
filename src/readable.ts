// Values that the database can store but the API cannot return, such as an infinite timestamp or a content that is not an object. Decoding
// such a value does not throw, because one row would then fail every read that includes it. The value becomes an `Unreadable` marker
// in its row. Reads of several rows skip and report the marked ones; serialising a marker as JSON throws and ends in a problem.

export class Unreadable extends Error {
  readonly code = 'unreadable_row';
  constructor(reason: string) {
    super(reason);
    this.name = 'Unreadable';
    created += 1;
  }
  toJSON(): never {
    throw this;
  }
}

let created = 0;
/** Number of markers that this process has created. While it has not changed, no row needs to be searched for markers. */
export const markersCreated = (): number => created;

/** A skipped row, as logs and responses report it. */
export interface SkippedRow {
  /** The seq, or the id if the row has no seq. */
  row: number | string;
  reason: string;
}

/** The columns of a row whose JSON type must be checked, in addition to the search for markers. */
export interface Shape {
  /** Columns that hold a JSON object. */
  objects?: readonly string[];
  /** Columns that hold a JSON object or null. */
  maybe?: readonly string[];
  /** Columns that hold an array of strings. */
  lists?: readonly string[];
}

/** Returns the reason why a row cannot be read, or undefined if it can. */
export function faultOf(row: object, { objects = [], maybe = [], lists = [] }: Shape = {}): string | undefined {
  const values = row as Record<string, unknown>;
  for (const column in values) {
    const value = values[column];
    if (value instanceof Unreadable) return `${column}: ${value.message}`;
  }
  for (const column of objects) if (!isObject(values[column])) return `${column}: not a JSON object`;
  for (const column of maybe) if (values[column] !== null && !isObject(values[column])) return `${column}: not a JSON object`;
  for (const column of lists) if (!isTexts(values[column])) return `${column}: not an array of strings`;
  return undefined;
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Columns that identify a row; the first one that the row has is used. */
const NAMES = [
  'seq',
  'memory_id',
  'event_id',
  'id',
  'edit_id',
  'capsule_id',
  'job_id',
  'webhook_id',
  'artifact_id',
  'key_id',
  'user_id',
];
export function nameOf(row: object): number | string {
  const values = row as Record<string, unknown>;
  const name = NAMES.find((column) => ['string', 'number'].includes(typeof values[column]));
  return name === undefined ? 'unnamed' : (values[name] as number | string);
}
