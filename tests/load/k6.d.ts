// What k6 has and @types/k6 leaves to the library of browsers.
declare const console: { warn(text: string): void };
