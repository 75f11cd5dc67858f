import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { unauthenticated } from './principal.ts';

// The signature of a request by a signed key: what it covers, and how its headers are read. docs/signed-requests.md describes the format.

/** A longer difference between the clocks of client and server makes a signature stale. */
export const MAX_AGE_S = 300;

/** The headers of a signed request. */
export interface RequestSignature {
  /** Unix seconds. */
  timestamp: number;
  nonce: string;
  /** SHA-256 of the body, according to the client. */
  digest: Buffer;
  mac: Buffer;
  /** The text that `mac` covers. */
  text: string;
}

/** Returns true for the id of a key, which a signed request sends instead of the key. */
export const looksLikeKeyId = (text: string): boolean => /^key_[0-9a-z]{26}$/.test(text);

const digestShape = /^sha-256=:([A-Za-z0-9+/]{43}=):$/;
// A nonce is visible ASCII without a comma, which separates the parts.
const signatureShape = /^t=(\d{1,12}),n=([!-+\--~]{16,64}),v1=([0-9a-f]{64})$/;

/** Reads the signature of a request. Throws `unauthenticated` if a header is missing or malformed. */
export function readSignature({
  method,
  headers,
  url,
  originalUrl,
}: IncomingMessage & { originalUrl?: string }): RequestSignature {
  const contentDigest = String(headers['content-digest'] ?? '');
  const [, digest] = digestShape.exec(contentDigest) ?? [];
  const [, t, nonce, mac] = signatureShape.exec(String(headers['x-signature'] ?? '')) ?? [];
  if (!digest)
    throw unauthenticated(
      'The signature is missing or malformed: send the header Content-Digest: sha-256=:<base64>: with the SHA-256 of the body.',
    );
  if (!t || !nonce || !mac)
    throw unauthenticated(
      'The signature is missing or malformed: send the header X-Signature: t=<Unix seconds>,n=<16 to 64 characters>,v1=<64 hex digits>.',
    );
  return {
    timestamp: Number(t),
    nonce,
    digest: Buffer.from(digest, 'base64'),
    mac: Buffer.from(mac, 'hex'),
    text: `${method}\n${originalUrl ?? url}\n${t}\n${nonce}\n${contentDigest}`,
  };
}

export function assertFresh({ timestamp }: RequestSignature): void {
  if (Math.abs(Date.now() / 1000 - timestamp) > MAX_AGE_S)
    throw unauthenticated(`The signature is stale: its time differs from the server’s by more than ${MAX_AGE_S} seconds.`);
}

export function assertUnaltered({ mac, text }: RequestSignature, secret: KeyObject): void {
  if (!timingSafeEqual(createHmac('sha256', secret).update(text).digest(), mac))
    throw unauthenticated('The request was altered: its signature does not match, or was made with another secret.');
}
