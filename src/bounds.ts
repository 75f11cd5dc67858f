import type { Config } from './config.ts';
import type { Workers } from './work/index.ts';

// Settings, as the parts that they bound take them.

/** What the gate counts while requests are served. */
export const countersOf = (config: Config) => ({
  held: { bytes: 0, max: config.MAX_IN_FLIGHT_BYTES, byTenant: new Map<string, number>() },
  inFlight: { count: 0, max: config.MAX_IN_FLIGHT_REQUESTS, byTenant: new Map<string, number>() },
});

export const recordSettingsOf = (config: Config, workers: Workers) => ({
  ...eventLimitsOf(config),
  maxBatchBytes: config.MAX_BATCH_BYTES,
  maxSingle: config.MAX_BODY_BYTES,
  json: bodyLimitsOf(config),
  workers,
});

export const eventLimitsOf = (config: Config) => ({
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  maxEventBytes: config.MAX_EVENT_BYTES,
  maxTextBytes: config.MAX_BATCH_TEXT_BYTES,
});

export const bodyLimitsOf = (config: Config) => ({
  maxBytes: config.MAX_BODY_BYTES,
  maxDepth: config.MAX_JSON_DEPTH,
  maxArray: config.MAX_ARRAY_LENGTH,
  maxString: config.MAX_STRING_BYTES,
});
