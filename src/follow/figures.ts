import type { Metrics } from '../metrics/index.ts';
import { type MessageType, messageTypes } from './send_buffer.ts';

const LAG_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 60];

export type FollowMetrics = Pick<Metrics, 'counter' | 'gauge' | 'histogram'>;

/** Registers the counters of streams and returns the functions that update them. */
export function followCounters(metrics: FollowMetrics) {
  const overflows = metrics.counter(
    'follower_overflows_total',
    'Streams that were closed because the client read too slowly',
    [],
  );
  const dropped = metrics.counter(
    'follower_dropped_events_total',
    'Buffered events that were discarded when such a stream was closed',
    [],
  );
  const events = metrics.counter('follower_events_total', 'Events that were sent to followers', ['type']);
  // so that a rate includes the first event
  for (const type of messageTypes) events({ type }, 0);
  const resumes = metrics.counter('follower_resumes_total', 'Streams that were opened with Last-Event-ID', []);
  const lag = metrics.histogram(
    'watch_lag_seconds',
    'Time from the commit of an event to its delivery to a follower',
    LAG_BUCKETS_S,
  );
  return {
    delivered: lag,
    sent: (types: MessageType[]) => {
      for (const type of types) events({ type });
    },
    resumed: () => resumes({}),
    overflowed: (discarded: number) => {
      overflows({});
      dropped({}, discarded);
    },
  };
}

/** Registers the metrics that are read at each scrape. */
export function registerGauges(
  metrics: FollowMetrics,
  streams: { open(): number; furthestBehind(): number; stuck(): number },
): void {
  metrics.gauge('followers', 'Streams that follow a log', streams.open);
  metrics.gauge(
    'follower_backlog_events',
    'Number of events by which the slowest follower is behind, read or not',
    streams.furthestBehind,
  );
  metrics.gauge('followers_stuck', 'Streams whose last three reads failed', streams.stuck);
}
