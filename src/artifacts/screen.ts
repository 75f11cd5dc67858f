import { type IdempotencyRequest, idempotencyOf, type Mac } from '../http/idempotency.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Sealed } from '../seal.ts';
import { decodeText, type Screener, type ScreenerSource } from '../secrets/index.ts';
import { sha256Of } from './stage.ts';

/** The bytes to store. */
export interface ScreenedBytes {
  bytes: Buffer;
  sha256: Buffer;
  redactions: number;
  sealed?: Sealed;
}

const MAX_SEALED_BYTES = 512 * 1024;

/** Screens bytes that are text. Decides by the bytes, because the client chooses the media type. */
export function screenBytes(screener: Screener, uploaded: Buffer, event_id: string): ScreenedBytes {
  const decoded = decodeText(uploaded);
  if (!decoded) return { bytes: uploaded, sha256: sha256Of(uploaded), redactions: 0 };
  const { text } = decoded;
  const { value, redactions, sealed } = screener.screenText(text, { pointer: '#', aad: event_id });
  if (sealed && uploaded.length > MAX_SEALED_BYTES)
    throw new Problem(
      'too-large',
      `A text that contains secrets is stored encrypted, and can then have at most ${MAX_SEALED_BYTES} bytes.`,
    );
  const bytes = value === text ? uploaded : decoded.encode(value);
  return { bytes, sha256: sha256Of(bytes), redactions, ...(sealed && { sealed }) };
}

export interface Upload {
  bytes: Uint8Array;
  event_id: string;
  source: ScreenerSource;
  idempotencyRequest: IdempotencyRequest | null;
}

/** Runs in a worker: screens a large upload. */
export function screenLarge({ bytes, event_id, idempotencyRequest }: Upload, screener: Screener, mac: Mac) {
  const uploaded = bufferOf(bytes);
  const idempotency = idempotencyOf(idempotencyRequest, uploaded, mac);
  const screened = screenBytes(screener, uploaded, event_id);
  const value = { ...screened, idempotency } satisfies ScreenedBytes & { idempotency: Idempotency | null };
  // Node keeps small buffers in a shared pool, which cannot be transferred
  const own = screened.bytes.length === screened.bytes.buffer.byteLength;
  return { value, transfer: own ? [screened.bytes.buffer as ArrayBuffer] : [] };
}

/** Converts bytes to a Buffer. A Buffer that is passed between threads arrives as Uint8Array. */
export const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, byteLength);
