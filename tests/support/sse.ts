/** A server-sent event. A heartbeat consists only of `id:`, without `event:`. */
export interface ServerSent {
  id?: string;
  event?: string;
  data?: string;
}

/** Reads a stream of server-sent events until it ends or the caller stops. */
export async function* readEvents(response: Response): AsyncGenerator<ServerSent> {
  let buffer = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    buffer += decoder.decode(chunk, { stream: true });
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const fields = buffer
        .slice(0, end)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith(':'))
        .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]);
      buffer = buffer.slice(end + 2);
      yield Object.fromEntries(fields) as ServerSent;
    }
  }
}
