import { join } from 'node:path';
import express from 'express';
import helmet from 'helmet';
import type { OpenApi } from './openapi.ts';
import { problems } from './problem.ts';
import { handleUnreadBody } from './unread_body.ts';

// The API reference: /openapi.json, Swagger UI at /docs, and the list of problem types. Nothing is loaded from other hosts.

/** `npm run build` copies the files of swagger-ui-dist here. The path is valid from both `src/http` and `dist/http`. */
const FILES = join(import.meta.dirname, '..', '..', 'dist', 'docs');

const policy = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
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
  const pages = express.Router();
  pages.get('/', (_req, res) => void res.redirect('/docs'));
  pages.get('/openapi.json', (_req, res) => void res.type('json').send(json));
  pages.get('/docs', (_req, res) => void res.type('html').send(reference));
  pages.get('/docs/start.js', (_req, res) => void res.type('js').send(start));
  pages.get('/docs/problems', (_req, res) => void res.type('html').send(problemList()));
  pages.use('/docs', express.static(FILES, { index: false, redirect: false, maxAge: '1h' }));
  const paths = ['/docs', '/openapi.json', /^\/$/];
  return (app) => void app.use(paths, policy, handleUnread).use(pages);
}

function handleUnread(_req: express.Request, res: express.Response, next: express.NextFunction): void {
  handleUnreadBody(res);
  next();
}

const page = (title: string, head: string, body: string) =>
  `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<link rel="icon" href="/docs/favicon-32x32.png">${head}</head>
<body>${body}</body>
</html>
`;

const reference = page(
  'Agent Memory',
  '<link rel="stylesheet" href="/docs/swagger-ui.css">',
  '<div id="reference"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>',
);

const start = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null });\n`;

/** Renders the page that the `type` of a problem document points to. */
function problemList(): string {
  const rows = Object.entries(problems).map(
    ([type, [status, title, advice]]) =>
      `<dt id="${type}"><code>${type}</code> · ${status} · ${title}</dt><dd>${escapeHtml(advice)}</dd>`,
  );
  return page('Problems', '', `<h1>Problems</h1><dl>${rows.join('\n')}</dl>`);
}

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
