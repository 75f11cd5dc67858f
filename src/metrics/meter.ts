import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Creates metrics for features, independent of prom-client. Names are without the prefix `agent_memory_`. */
export interface Meter {
  /** A gauge that is read at each scrape; undefined if the value is not known yet. */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number>): void;
  /** A counter that is read at each scrape. */
  total(name: string, help: string, read: () => number): void;
  /** Returns a function that counts. With `by` 0 it only creates the series, so that a rate includes the first event. */
  counter<L extends string>(name: string, help: string, labels: L[]): (of: Record<L, string>, by?: number) => void;
  histogram(name: string, help: string, buckets: number[]): (value: number) => void;
  /** Counts the connections and commands of a server that this daemon uses. */
  store(name: 'postgresql' | 'redis'): StoreMeter;
}

interface StoreMeter {
  /** `seconds`: from sending a command to the end of its answer. */
  answered(seconds: number): void;
  /** Counts an attempt to connect. */
  connected(success: boolean): void;
}

const COMMAND_BUCKETS_S = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

export function openMeter(registry: Registry): Meter {
  const named = (name: string, help: string) => ({ name: `agent_memory_${name}`, help, registers: [registry] });
  const commands = new Histogram({
    ...named('store_command_seconds', 'Time from sending a command to a server until the end of its answer'),
    labelNames: ['store'],
    buckets: COMMAND_BUCKETS_S,
  });
  const connects = new Counter({
    ...named('store_connects_total', 'Attempts to connect to a server'),
    labelNames: ['store', 'outcome'],
  });
  return {
    store: (store) => {
      const command = commands.labels(store);
      for (const outcome of ['ok', 'failed']) connects.inc({ store, outcome }, 0);
      return {
        answered: (seconds) => command.observe(seconds),
        connected: (success) => connects.inc({ store, outcome: success ? 'ok' : 'failed' }),
      };
    },
    gauge: (name, help, read) =>
      void new Gauge({
        ...named(name, help),
        async collect() {
          const value = await read();
          // An unknown value has no series, because zero would be wrong.
          if (value === undefined) this.remove();
          else this.set(value);
        },
      }),
    total: (name, help, read) =>
      void new Counter({
        ...named(name, help),
        collect() {
          this.reset();
          this.inc(read());
        },
      }),
    counter: <L extends string>(name: string, help: string, labelNames: L[]) => {
      const counter = new Counter({ ...named(name, help), labelNames });
      return (of: Record<L, string>, by = 1) => counter.inc(of, by);
    },
    histogram: (name, help, buckets) => {
      const histogram = new Histogram({ ...named(name, help), buckets });
      return (value) => histogram.observe(value);
    },
  };
}
