import type { Parts } from '../feature.ts';
import { type Dispatcher, type Outcome, outcomes } from './dispatch.ts';

const RECEIVER_BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

type Metrics = Parts['metrics'];

/** Registers the metrics of attempts. Returns a function that records an attempt. */
export function attemptMetrics(metrics: Metrics): (outcome: Outcome, ms: number) => void {
  const seconds = metrics.histogram('webhook_seconds', 'Time that a receiver of webhooks took', RECEIVER_BUCKETS_S);
  const deliveries = metrics.counter('webhook_deliveries_total', 'Attempts to deliver an event to a webhook', ['outcome']);
  for (const outcome of outcomes) deliveries({ outcome }, 0);
  return (outcome, ms) => {
    deliveries({ outcome });
    seconds(ms / 1000);
  };
}

const idle = { running: 0, unassigned: 0, stuck: 0 };

export function registerGauges(metrics: Metrics, dispatcher: Dispatcher | undefined): void {
  const read = () => dispatcher?.figures() ?? idle;
  metrics.gauge('webhooks_running', 'Webhooks that this daemon is delivering to', () => read().running);
  metrics.gauge('webhooks_waiting', 'Webhooks (of the first 100 due) that found no place here', () => read().unassigned);
  const stuck = 'Webhooks whose last two turns on this daemon failed before an attempt';
  metrics.gauge('webhooks_stuck', stuck, () => read().stuck);
}
