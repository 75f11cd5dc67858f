// Names of this machine, which no other machine can reach.

/** Returns whether a host, with or without a port and with brackets as in a URL, is the loopback interface. */
export const isLoopbackHost = (host: string): boolean =>
  /^(?:::1|(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?)$/i.test(host);

/** Returns whether a page of this origin comes from this machine. */
export const isLoopbackOrigin = (origin: string): boolean =>
  /^https?:\/\//i.test(origin) && isLoopbackHost(origin.replace(/^https?:\/\//i, ''));
