import type { Parts } from '../feature.ts';
import { type Follow, followerFigures } from './follow.ts';

const LAG_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 60];

type Metrics = Parts['metrics'];

/** Registers the metrics of streams and returns the functions that update them. */
export function countDeliveries(metrics: Metrics) {
  const overflows = metrics.counter(
    'follower_overflows_total',
    'Streams that were closed because the client read too slowly',
    [],
  );
  return {
    delivered: metrics.histogram(
      'watch_lag_seconds',
      'Time from the commit of an event to its delivery to a follower',
      LAG_BUCKETS_S,
    ),
    overflowed: () => overflows({}),
  };
}

export function readFollowers(metrics: Metrics, follow: Follow): void {
  const read = () => followerFigures(follow);
  metrics.gauge('followers', 'Streams that follow a log', () => read().open);
  metrics.gauge(
    'follower_backlog_events',
    'Number of events by which the slowest follower is behind',
    () => read().furthestBehind,
  );
  metrics.gauge('followers_stuck', 'Streams whose last three reads failed', () => read().stuck);
}
