import { createHash, createHmac, randomBytes } from 'node:crypto';
import { request } from 'node:http';

export interface SignedKey {
  key_id: string;
  api_key: string;
}

export interface Signing {
  body?: string | Buffer;
  /** Unix seconds; default: now. */
  t?: number;
  nonce?: string;
  /** Headers that replace the correct ones, or undefined to leave one out. */
  headers?: Record<string, string | undefined>;
}

export const digestOf = (body: string | Buffer): string => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

/** Returns the headers of a signed request, as docs/signed-requests.md describes them. */
export function signedHeaders(key: SignedKey, method: string, target: string, signing: Signing = {}): Record<string, string> {
  const { body = '', t = Math.floor(Date.now() / 1000), nonce = randomBytes(16).toString('hex') } = signing;
  const digest = digestOf(body);
  const mac = createHmac('sha256', key.api_key).update(`${method}\n${target}\n${t}\n${nonce}\n${digest}`).digest('hex');
  const headers = {
    'x-api-key': key.key_id,
    'content-digest': digest,
    'x-signature': `t=${t},n=${nonce},v1=${mac}`,
    ...(body.length > 0 && { 'content-type': 'application/json' }),
    ...signing.headers,
  };
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)) as Record<string, string>;
}

interface Answer {
  status: number;
  body: any;
  headers: Record<string, string | string[] | undefined>;
}

/** Sends a request whose target is exactly `target`, in chunks if it has several parts. */
export function sendRaw(
  url: string,
  method: string,
  target: string,
  headers: Record<string, string>,
  parts: (string | Buffer)[] = [],
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const length = parts.length === 1 ? { 'content-length': String(Buffer.byteLength(parts[0]!)) } : {};
    const asking = request({ hostname, port, method, path: target, headers: { ...length, ...headers } }, (res) => {
      const got: Buffer[] = [];
      res.on('data', (part) => got.push(part));
      res.on('end', () => {
        const text = Buffer.concat(got).toString();
        const isJson = /\/(?:problem\+)?json/.test(res.headers['content-type'] ?? '');
        resolve({ status: res.statusCode!, body: isJson && text !== '' ? JSON.parse(text) : text, headers: res.headers });
      });
    });
    asking.on('error', reject);
    for (const part of parts) asking.write(part);
    asking.end();
  });
}

export const sendSigned = (url: string, key: SignedKey, method: string, target: string, signing: Signing = {}): Promise<Answer> =>
  sendRaw(url, method, target, signedHeaders(key, method, target, signing), signing.body === undefined ? [] : [signing.body]);
