/** An event emitter between features that do not import each other. */
export interface Signal<T> {
  tell(what: T): void;
  hear(listener: (what: T) => void): void;
}

export function createSignal<T>(): Signal<T> {
  const listeners: ((what: T) => void)[] = [];
  return {
    tell: (what) => {
      for (const listener of listeners) listener(what);
    },
    hear: (listener) => void listeners.push(listener),
  };
}
