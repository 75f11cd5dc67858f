import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type Examples, type RecordedResponse, readExamples } from '../../src/examples.ts';
import { features } from '../../src/features.ts';
import { describeService } from '../../src/wiring.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';
import { storyOn } from './story.ts';

// Executes the examples of the documentation. `npm run examples` runs this test with EXAMPLES=record, which writes the responses.

const isRecording = process.env.EXAMPLES === 'record';
const src = join(import.meta.dirname, '../../src');
const folders = readdirSync(src).filter((name) => existsSync(join(src, name, 'examples.json')));
const byFolder = new Map(folders.map((folder) => [folder, readExamples(join(src, folder))]));
const examples: Examples = Object.assign({}, ...features.map((feature) => feature.examples?.()));

test('the service documents the examples of every folder, and no two have the same name', () => {
  const names = [...byFolder.values()].flatMap((own) => Object.keys(own));
  expect(Object.keys(examples).sort()).toEqual(names.sort());
});

test('every operation has an example', () => {
  const { routes } = describeService(loadConfig({ JWT_SECRET: 'x'.repeat(32) }));
  const operations = routes.map(({ method, path }) => `${method} ${path}`);
  const shown = Object.values(examples).map(({ operation }) => operation);
  expect(operations.filter((operation) => !shown.includes(operation))).toEqual([]);
  expect(shown.filter((operation) => !operations.includes(operation))).toEqual([]);
});

let daemon: TestDaemon;
let receiver: Receiver;
beforeAll(async () => {
  daemon = await startTestDaemon({ HOST: '127.0.0.1' });
  receiver = await startReceiver();
});
afterAll(async () => {
  await daemon.stop();
  await receiver.close();
});

// a tenant for each folder, so that the examples of one do not change the responses of another
describe.each([...byFolder])('%s', (folder, own) => {
  let run: ReturnType<typeof storyOn>;
  const responses = new Map<string, RecordedResponse>();
  beforeAll(() => {
    run = storyOn(examples, daemon.url, `acme-${folder}`, new URL(receiver.url).origin);
  });
  if (isRecording) afterAll(record);

  test.each(Object.entries(own).map(([name, example]) => [`${name}: ${example.operation}`, name, example] as const))(
    '%s',
    async (_, name, example) => {
      const response = await run(name);
      responses.set(name, response);
      if (!isRecording) expect(response).toEqual(example.response);
      else if (response.status >= 400) throw new Error(JSON.stringify(response));
    },
  );

  function record(): void {
    const recorded = Object.entries(own).map(([name, example]) => [
      name,
      { ...example, response: responses.get(name) ?? example.response },
    ]);
    writeFileSync(join(src, folder, 'examples.json'), `${JSON.stringify(Object.fromEntries(recorded), null, 2)}\n`);
  }
});
