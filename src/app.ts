import type { IncomingMessage, RequestListener } from 'node:http';
import cors from 'cors';
import express, { type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Gate } from './http/gate.ts';
import { Problem } from './http/problem.ts';
import type { Route } from './http/route.ts';
import { begin, refuse } from './http/send.ts';
import { serve } from './http/serve.ts';
import { matchPath } from './http/url.ts';

// The order in which a request meets the service. Hot routes go through the thin door, everything else through Express; both
// end in the same `serve`. Why there are two: docs/decisions/thin-door.md.

export function createApp<C>(
  gate: Gate<C>,
  routes: Route<C>[],
  corsOrigins: string[],
  pages?: (app: express.Express) => void,
): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // One path, one spelling: what nginx guards and what an Idempotency-Key is kept for is told by it.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(helmet());
  for (const route of routes) app[verb(route)](expressPath(route.path), (req, res) => serve(gate, route, req, res));
  pages?.(app);
  app.use((req, res) => {
    const allowed = routes.filter((route) => pathMatches(route.path, req.path)).map((route) => route.method);
    const problem =
      allowed.length > 0
        ? new Problem('method-not-allowed', `The path takes ${allowed.join(', ')}.`, { headers: { Allow: allowed.join(', ') } })
        : new Problem('not-found', 'There is no such path.');
    refuse(gate, 'unknown', res, begin(gate, 'unknown', req, res), problem);
  });
  app.use((error: unknown, req: express.Request, res: express.Response, _next: express.NextFunction) => {
    const badUrl = error instanceof URIError || (error as { status?: number }).status === 400;
    refuse(
      gate,
      'unknown',
      res,
      begin(gate, 'unknown', req, res),
      badUrl ? new Problem('malformed-request', 'The URL cannot be read.') : error,
    );
  });

  const hot = corsOrigins.length > 0 ? [] : routes.filter((route) => route.hot);
  return (req, res) => {
    const route = hot.find((candidate) => candidate.method === req.method && isPath(candidate.path, req));
    if (route) void serve(gate, route, req, res);
    else app(req, res);
  };
}

const verb = (route: { method: string }) => route.method.toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete';
const expressPath = (path: string) => path.replaceAll(/\{(\w+)\}/g, ':$1');

function isPath(template: string, req: IncomingMessage): boolean {
  const url = req.url ?? '/';
  const mark = url.indexOf('?');
  return pathMatches(template, mark < 0 ? url : url.slice(0, mark));
}

function pathMatches(template: string, pathname: string): boolean {
  try {
    return matchPath(template, pathname) !== undefined;
  } catch {
    // of this path, with a parameter that cannot be read: `serve` says so
    return true;
  }
}

/** Browsers may call from the listed origins. Other origins get no CORS headers, not even on a preflight. */
function allowOrigins(origins: string[]): RequestHandler {
  const isListed = (origin: string | undefined) => origin !== undefined && (origins.includes(origin) || origins.includes('*'));
  const answer = cors({
    origin: (origin, done) => done(null, isListed(origin)),
    methods: 'GET, POST, PUT, PATCH, DELETE',
    allowedHeaders:
      'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-API-Key, X-Request-Id',
    exposedHeaders: 'ETag, Location, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id',
    maxAge: 600,
  });
  return (req, res, next) => {
    // the library says so only to listed origins; a cache must not give its answer for one to another
    res.vary('Origin');
    answer(req, res, next);
  };
}
