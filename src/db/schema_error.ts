/** The database's schema and this code cannot go together. The message says what to do; nothing else about it needs to be known. */
export class SchemaError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SchemaError';
  }
}
