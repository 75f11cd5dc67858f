import type { Caller, Visibility } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { MessageType, Piece } from './send_buffer.ts';
import { readLogBounds } from './sql.ts';

// The content of a stream, and how a part of it is read once for all streams that need the same part.

/** The content of a stream. Every position of the log yields at most one message, and its seq is the id of the message. */
export interface Feed {
  /** Identifies the content: streams with an equal key and visibility share their reads. Must be JSON. */
  key: unknown;
  /** True if the client determines the cost of a read, so that reads start small. */
  filtered: boolean;
  /** The form of the messages on the wire, if it is another than that of the service. */
  format?: Format;
  /** Returns what the caller may see; a stream ends when this changes. Throws a Problem if the caller may not follow this feed. */
  visibilityOf(caller: Caller): Visibility;
  /** Returns the messages of a range in the order of `seq`; at least one if there is any. */
  read(db: Db, tenant: Tenant, visibility: Visibility, range: FeedRange): Promise<FeedPage>;
}

/** The form of messages. Each text ends with an empty line. */
export interface Format {
  message(message: Message): string;
  /** The end of the stream of a client that is too slow. `last_seq`: the position that it has reached. */
  overflow(last_seq: number): string;
}

export const ownFormat: Format = {
  message: ({ seq, event, data }) => `id: ${seq}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
  overflow: (last_seq) => `event: overflow\ndata: {"last_seq":${last_seq}}\n\n`,
};

/** The positions after `after`, up to and including `upto`. `limit` and `page_bytes`: the maximum number of messages and their maximum size. */
export interface FeedRange {
  after: number;
  upto: number;
  limit: number;
  page_bytes: number;
}

interface FeedPage {
  messages: Message[];
  /** True if the page ended because of its size. */
  more: boolean;
}

export interface Message {
  seq: number;
  /** The value of `event:`. */
  event: string;
  data: unknown;
  /** Label of the metric of sent messages. */
  type: MessageType;
  /** Time of the commit; undefined if it is unknown. */
  at: string | undefined;
}

/** Messages that are rendered once for all streams with the same cursor and feed. */
export interface Batch {
  pieces: Piece[];
  /** Time of the first message; undefined without messages. */
  since: string | undefined;
  cursor: number;
  took_ms: number;
  /** True if the log has been trimmed after the cursor of the read, so that messages may be missing. */
  trimmed: boolean;
}

/** Messages are handed to the socket in pieces of about this size, so that the progress of a slow client is visible. */
const PIECE_BYTES = 64 * 1024;

export async function readBatch(tenant: Tenant, feed: Feed, visibility: Visibility, range: FeedRange): Promise<Batch> {
  const began = performance.now();
  const { messages, more, oldest_seq } = await tenant.read(async (db) => {
    const page = await feed.read(db, tenant, visibility, range);
    // after the page, because a trim between the two must be noticed
    return { ...page, oldest_seq: (await readLogBounds(db, tenant.id))?.oldest_seq };
  });
  return {
    pieces: piecesOf(messages, feed.format ?? ownFormat),
    since: messages.find(({ at }) => at !== undefined)?.at,
    cursor: more || messages.length === range.limit ? messages.at(-1)!.seq : range.upto,
    took_ms: performance.now() - began,
    trimmed: oldest_seq === undefined || range.after < oldest_seq - 1,
  };
}

function piecesOf(messages: Message[], format: Format): Piece[] {
  const pieces: Piece[] = [];
  let text = '';
  let types: MessageType[] = [];
  for (const [i, message] of messages.entries()) {
    text += format.message(message);
    types.push(message.type);
    if (text.length < PIECE_BYTES && i < messages.length - 1) continue;
    pieces.push({ bytes: Buffer.from(text), types, upto: message.seq });
    [text, types] = ['', []];
  }
  return pieces;
}
