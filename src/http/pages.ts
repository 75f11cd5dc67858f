import { existsSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import express from 'express';
import helmet from 'helmet';
import type { OpenApi } from './openapi.ts';
import { handleUnreadBody } from './unread_body.ts';

// The documentation site at /docs, /llms.txt and /openapi.json. The pages request nothing from any other host.

/** `npm run build` writes the site here; `src/http` and `dist/http` are equally deep. */
const FOLDER = join(import.meta.dirname, '..', '..', 'dist', 'site');

const policy = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'"],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
});

/** Returns a function that adds the pages to the app. */
export function pagesOf(document: OpenApi): (app: express.Express) => void {
  const json = JSON.stringify(document);
  const files = filesByUrl(FOLDER);
  // an app of its own has ETags, which the app that serves the API does without
  const pages = express();
  pages.disable('x-powered-by');
  pages.get('/', (_req, res) => void res.redirect('/docs'));
  pages.get('/openapi.json', (_req, res) => void res.type('json').send(json));
  pages.get(['/llms.txt', '/docs', '/docs/*path'], (req, res, next) => {
    const file = files.get(req.path);
    if (file === undefined) next();
    else res.sendFile(file, { cacheControl: false, headers: { 'Cache-Control': 'no-cache' } });
  });
  const paths = ['/docs', '/llms.txt', '/openapi.json', /^\/$/];
  return (app) => void app.use(paths, policy, discardBody).use(pages);
}

/** Only these paths are served, so that no request reaches another file. `/docs/events` is the file `docs/events.html`. */
function filesByUrl(folder: string): Map<string, string> {
  if (!existsSync(folder)) return new Map();
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [
        `/${relative(folder, file)
          .split(sep)
          .join('/')
          .replace(/\.html$/, '')}`,
        file,
      ];
    }),
  );
}

function discardBody(_req: express.Request, res: express.Response, next: express.NextFunction): void {
  handleUnreadBody(res);
  next();
}
