interface Stoppable {
  stop(): Promise<void>;
}

/** What has processes that must not outlive the run. */
export const running = new Set<Stoppable>();

export async function stop(one: Stoppable): Promise<void> {
  if (running.delete(one)) await one.stop();
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((one) => stop(one)));
}
