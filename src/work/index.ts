export { contentOf, type Result, resultOf } from './message.ts';
export { openWorkers, type Workers } from './pool.ts';
export { type Done, serveTasks, type Task } from './serve.ts';
