import type { IncomingMessage, RequestListener } from 'node:http';
import cors from 'cors';
import express, { type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Gate } from './http/gate.ts';
import { Problem } from './http/problem.ts';
import type { Route } from './http/route.ts';
import { beginResponse, sendProblem } from './http/send.ts';
import { serve } from './http/serve.ts';
import { matchPath, precedenceOf } from './http/url.ts';

// The order of the middleware. The busiest routes bypass Express, all others go through it; both paths end in the same `serve`.
// docs/decisions/thin-door.md has the measurements.

export function createApp<C>(
  gate: Gate<C>,
  routes: Route<C>[],
  corsOrigins: string[],
  pages?: (app: express.Express) => void,
): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Each path has exactly one spelling, because nginx's rules and the records of idempotency keys match on it.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(helmet());
  const mayServe = precedenceOf(routes.map(({ path }) => path));
  for (const route of routes)
    app[verb(route)](expressPath(route.path), (req, res, next) =>
      mayServe(route.path, req.path) ? serve(gate, route, req, res) : next(),
    );
  pages?.(app);
  app.use((req, res) => {
    const allowed = routes
      .filter(({ path }) => pathMatches(path, req.path) && mayServe(path, req.path))
      .map(({ method }) => method);
    const problem =
      allowed.length > 0
        ? new Problem('method-not-allowed', `The path supports ${allowed.join(', ')}.`, {
            headers: { Allow: allowed.join(', ') },
          })
        : new Problem('not-found', 'The path does not exist.');
    sendProblem(gate, 'unknown', res, beginResponse(gate, 'unknown', req, res), problem);
  });
  app.use((error: unknown, req: express.Request, res: express.Response, _next: express.NextFunction) => {
    const badUrl = error instanceof URIError || (error as { status?: number }).status === 400;
    sendProblem(
      gate,
      'unknown',
      res,
      beginResponse(gate, 'unknown', req, res),
      badUrl ? new Problem('malformed-request', 'The URL cannot be read.') : error,
    );
  });

  const hot = corsOrigins.length > 0 ? [] : routes.filter((route) => route.fastPath);
  return (req, res) => {
    const route = hot.find((candidate) => candidate.method === req.method && isPath(candidate.path, req));
    if (route) void serve(gate, route, req, res);
    else app(req, res);
  };
}

const verb = (route: { method: string }) => route.method.toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete';
const expressPath = (path: string) => path.replaceAll(/\{(\w+)\}/g, ':$1').replaceAll(/\{\+(\w+)\}/g, '*$1');

function isPath(template: string, req: IncomingMessage): boolean {
  const url = req.url ?? '/';
  const mark = url.indexOf('?');
  return pathMatches(template, mark < 0 ? url : url.slice(0, mark));
}

function pathMatches(template: string, pathname: string): boolean {
  try {
    return matchPath(template, pathname) !== undefined;
  } catch {
    // The path matches, but a parameter cannot be decoded; `serve` reports that.
    return true;
  }
}

/** Adds CORS headers for the listed origins. Other origins get none, not even on a preflight. */
function allowOrigins(origins: string[]): RequestHandler {
  const isListed = (origin: string | undefined) => origin !== undefined && (origins.includes(origin) || origins.includes('*'));
  const answer = cors({
    origin: (origin, done) => done(null, isListed(origin)),
    methods: 'GET, POST, PUT, PATCH, DELETE',
    allowedHeaders:
      'Authorization, Content-Digest, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Lease, X-API-Key, X-Request-Id, X-Signature',
    exposedHeaders: 'ETag, Location, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id',
    maxAge: 600,
  });
  return (req, res, next) => {
    // The library sets this header for listed origins only. Without it a cache could serve one origin's response to another.
    res.vary('Origin');
    answer(req, res, next);
  };
}
