import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

export type { Logger };

/** Lines for a person at a terminal. Loaded where it is used: production never needs it. */
export const prettyStream = async (): Promise<DestinationStream> =>
  (await import('pino-pretty')).default({ sync: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname,name' });

/** JSON lines on stdout, or on `stream`. Credentials and content never reach a line: what could carry them is cut here once more. */
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

/** A database error's `detail` and `where` quote row values, and its message may: only what names the fault is kept. */
function describeError(error: unknown) {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, severity, constraint, table, routine } = error as Error & Record<string, unknown>;
  const fromDatabase = severity !== undefined;
  return {
    type: error.name,
    message: fromDatabase ? `database error ${String(code)}` : error.message,
    ...(code !== undefined && { code }),
    ...(fromDatabase && { constraint, table, routine }),
    // below its first lines, which are the message
    stack: fromDatabase ? error.stack?.split('\n').slice(error.message.split('\n').length).join('\n') : error.stack,
    ...(error.cause !== undefined && { cause: String((error.cause as Error)?.message ?? error.cause) }),
  };
}
