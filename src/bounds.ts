import type { Config } from './config.ts';

// Settings, as the parts that they bound take them.

export type Bounds = ReturnType<typeof boundsOf>;

export const boundsOf = (config: Config) => ({
  /** Of JSON bodies. */
  json: {
    maxBytes: config.MAX_BODY_BYTES,
    maxDepth: config.MAX_JSON_DEPTH,
    maxArray: config.MAX_ARRAY_LENGTH,
    maxString: config.MAX_STRING_BYTES,
  },
  /** Of what is recorded. */
  events: {
    maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
    maxEventBytes: config.MAX_EVENT_BYTES,
    maxTextBytes: config.MAX_BATCH_TEXT_BYTES,
  },
});

/** What the gate counts while requests are served. */
export const countersOf = (config: Config) => ({
  held: { bytes: 0, max: config.MAX_IN_FLIGHT_BYTES, byTenant: new Map<string, number>() },
  inFlight: { count: 0, max: config.MAX_IN_FLIGHT_REQUESTS, byTenant: new Map<string, number>() },
});
