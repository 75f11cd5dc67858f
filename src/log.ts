import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

export type { Logger };

/** Formats lines for a terminal. Imported on demand, because production never uses it. */
export const prettyStream = async (): Promise<DestinationStream> =>
  (await import('pino-pretty')).default({ sync: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname,name' });

/** Creates a logger of JSON lines on stdout, or on `stream`. Callers never log credentials or content; `redact` is a second safeguard. */
export function createLogger(level: string, name = 'agent-memory', stream?: DestinationStream): Logger {
  const options: LoggerOptions = {
    name,
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        'authorization',
        'password',
        'token',
        'secret',
        'content',
        'body',
        '*.authorization',
        '*.password',
        '*.token',
        '*.secret',
        '*.content',
        '*.body',
      ],
      censor: '[redacted]',
    },
    serializers: { err: describeError },
  };
  return stream ? pino(options, stream) : pino(options);
}

/** Drops `detail`, `where` and the message of a database error, because they can quote values of rows. */
function describeError(error: unknown) {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, severity, constraint, table, routine } = error as Error & Record<string, unknown>;
  const fromDatabase = severity !== undefined;
  return {
    type: error.name,
    message: fromDatabase ? `database error ${String(code)}` : error.message,
    ...(code !== undefined && { code }),
    ...(fromDatabase && { constraint, table, routine }),
    // The first lines of a stack are the message.
    stack: fromDatabase ? error.stack?.split('\n').slice(error.message.split('\n').length).join('\n') : error.stack,
    ...(error.cause !== undefined && { cause: String((error.cause as Error)?.message ?? error.cause) }),
  };
}
