import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';

/** Skips the tests if Chromium is not installed. */
export const describeInBrowser = (name: string, tests: () => void): void =>
  (executablePath ? describe : describe.skip)(`${name}${executablePath ? '' : ' (Chromium is not installed)'}`, tests);

export const launchBrowser = (): Promise<Browser> => chromium.launch({ executablePath: executablePath!, args: flags.split(' ') });

/** Collects what a page must not do: requests to other hosts, errors in the console, violations of the policy. */
export function observe(page: Page): { hosts: Set<string>; errors: string[] } {
  const observed = { hosts: new Set<string>(), errors: [] as string[] };
  page.on('request', (request) => observed.hosts.add(new URL(request.url()).host));
  page.on('console', (line) => {
    if (line.type() === 'error') observed.errors.push(`${page.url()}: ${line.text()}`);
  });
  page.on('pageerror', (error) => observed.errors.push(`${page.url()}: ${error.message}`));
  return observed;
}
