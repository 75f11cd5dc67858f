export { failureOf, type TaskOutcome, unwrapOutcome } from './message.ts';
export { openWorkers, type Workers } from './pool.ts';
export { askMainThread, serveTasks, type Task, type TaskResult } from './serve.ts';
