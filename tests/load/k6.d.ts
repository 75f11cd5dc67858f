// Globals that k6 provides and @types/k6 expects from the DOM library.
declare const console: { warn(text: string): void };
