// What the database can hold and nobody can be given: an infinite time, a content that is not an object. Where such a value is met it is
// not an error, or one row would stop everything that reads past it. It becomes a marker in its row. A reader of several rows keeps the
// unreadable ones apart and names them; an answer that holds a marker cannot be written as JSON and ends in a problem.

export class Unreadable extends Error {
  readonly code = 'unreadable_row';
  constructor(reason: string) {
    super(reason);
    this.name = 'Unreadable';
    made += 1;
  }
  toJSON(): never {
    throw this;
  }
}

let made = 0;
/** So many have been met by this process: where that is as it was, there is nothing to look for. */
export const markersMade = (): number => made;

/** A row that was skipped, as logs and answers name it. */
export interface SkippedRow {
  /** Its seq where it has one, else its id. */
  row: number | string;
  reason: string;
}

/** What a row must have for it to be read, beside values that are none of the markers. */
export interface Shape {
  /** Columns of JSON objects. */
  objects?: readonly string[];
  /** Columns of JSON objects, or null. */
  maybe?: readonly string[];
  /** Columns of lists of texts. */
  lists?: readonly string[];
}

/** Why a row cannot be read; undefined where it can. */
export function faultOf(row: object, { objects = [], maybe = [], lists = [] }: Shape = {}): string | undefined {
  const values = row as Record<string, unknown>;
  for (const column in values) {
    const value = values[column];
    if (value instanceof Unreadable) return `${column}: ${value.message}`;
  }
  for (const column of objects) if (!isObject(values[column])) return `${column}: not a JSON object`;
  for (const column of maybe) if (values[column] !== null && !isObject(values[column])) return `${column}: not a JSON object`;
  for (const column of lists) if (!isTexts(values[column])) return `${column}: not a list of texts`;
  return undefined;
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Where a row stands, by the first of these that it has. */
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
