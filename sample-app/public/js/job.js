/** An execution: its progress, from the beginning, whoever has started it. */

import { addLine, byId, count, line, megabytes, options } from './dom.js';
import { doing, onClick, onSubmit, request } from './server.js';
import { Stream } from './stream.js';

let watched;
let watchedId;

function watch(id) {
  watched?.close();
  watchedId = id;
  byId('stop-execution').hidden = false;
  byId('tasks').replaceChildren();
  byId('progress').value = 0;
  byId('progress-text').textContent = 'Waiting for the first task.';
  const running = new Map();
  const over = (text) => {
    byId('progress-text').textContent = text;
    byId('stop-execution').hidden = true;
    void listExecutions();
  };
  watched = new Stream(byId('execution-stream'), `/executions/${encodeURIComponent(id)}/events`, {
    'task-start': ({ task }) => {
      const item = line(task, 'running');
      running.set(task, item);
      addLine(byId('tasks'), item);
    },
    'task-complete': ({ task, files, sha256 }) => {
      running.get(task)?.replaceWith(line(`${task}: ${count(files, 'file')}`, sha256.slice(0, 12)));
      running.delete(task);
    },
    progress: ({ files, bytes, tasks, ofTasks }) => {
      byId('progress').max = ofTasks;
      byId('progress').value = tasks;
      byId('progress-text').textContent =
        `${count(files, 'file')}, ${megabytes(bytes)}; ${tasks} of ${count(ofTasks, 'task')} done`;
    },
    'execution-complete': ({ files, bytes, milliseconds, sha256 }) => {
      byId('progress').value = byId('progress').max;
      const seconds = (milliseconds / 1000).toFixed(1);
      over(`Complete: ${count(files, 'file')}, ${megabytes(bytes)} in ${seconds} s, ${sha256.slice(0, 12)}…`);
    },
    'execution-failed': ({ message }) => over(message),
    'execution-stopped': ({ message }) => over(message),
  });
}

const listExecutions = doing(async () => {
  const executions = await request('GET', '/executions');
  byId('late-form').hidden = executions.length === 0;
  options(
    document.querySelector('#late-form [name=id]'),
    executions.map(({ id, folder, state }) => [id, `${folder} (${state})`]),
  );
});

/** Somebody has started one, on whichever node. */
export const announcing = { execution: () => void listExecutions() };

export function startJob() {
  onSubmit('execution-form', async ({ folder }) => {
    const { id } = await request('POST', '/executions', { folder });
    watch(id);
    await listExecutions();
  });
  onClick('stop-execution', () => request('DELETE', `/executions/${encodeURIComponent(watchedId)}`));
  onSubmit('late-form', ({ id }) => watch(id));
  void listExecutions();
}
