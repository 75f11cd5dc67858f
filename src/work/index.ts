export { openWorkers, type Workers } from './pool.ts';
export { serveTasks, type Task } from './serve.ts';
