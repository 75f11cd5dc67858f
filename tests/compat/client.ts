import { readEvents, type ServerSent } from '../support/sse.ts';

/** Any response body. */
export type Row = Record<string, any>;

export interface Call {
  status: number;
  headers: Headers;
  /** Untyped, because AgentState answers with objects, arrays and text. */
  body: any;
}

/** Sends the requests of a client of AgentState. The namespace is put into the path as it is, like its clients do. */
export function compatClient(url: string, token?: string, namespace = 'agent://demo') {
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Call> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  };
  const base = `/v1/${namespace}`;
  return {
    call,
    put: (body: unknown, headers?: Record<string, string>) => call('POST', `${base}/objects`, body, headers),
    get: (id: string, query = '') => call('GET', `${base}/objects/${id}${query}`),
    del: (id: string, headers?: Record<string, string>) => call('DELETE', `${base}/objects/${id}`, undefined, headers),
    query: (body: unknown) => call('POST', `${base}/query`, body),
    lease: (op: 'acquire' | 'renew' | 'release', body: unknown) => call('POST', `${base}/lease/${op}`, body),
    /** Reads the first `count` changes of a watch. `begun` is called when it is open. */
    watch: async (
      count: number,
      query = '',
      headers: Record<string, string> = {},
      begun: () => Promise<unknown> = async () => 0,
    ) => {
      const abort = new AbortController();
      const sent = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers };
      const response = await fetch(`${url}${base}/watch${query}`, { headers: sent, signal: abort.signal });
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
      await begun();
      const events: ServerSent[] = [];
      for await (const event of readEvents(response)) {
        if (event.data) events.push(event);
        if (events.length === count) break;
      }
      abort.abort();
      return events;
    },
  };
}
