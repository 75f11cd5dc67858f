import type { Config } from './config.ts';

// The limits among the settings, in the form that the code that enforces them expects.

export type Bounds = ReturnType<typeof boundsOf>;

export const boundsOf = (config: Config) => ({
  /** Limits of JSON request bodies. */
  json: {
    maxBytes: config.MAX_BODY_BYTES,
    maxDepth: config.MAX_JSON_DEPTH,
    maxArray: config.MAX_ARRAY_LENGTH,
    maxString: config.MAX_STRING_BYTES,
  },
  /** Limits of recorded events and artifacts. */
  events: {
    maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
    maxEventBytes: config.MAX_EVENT_BYTES,
    maxTextBytes: config.MAX_BATCH_TEXT_BYTES,
  },
});

/** Counters of the requests and body bytes that are in flight, with their limits. */
export const countersOf = (config: Config) => ({
  bytesInFlight: { bytes: 0, max: config.MAX_IN_FLIGHT_BYTES, byTenant: new Map<string, number>() },
  inFlight: { count: 0, max: config.MAX_IN_FLIGHT_REQUESTS, byTenant: new Map<string, number>() },
});
