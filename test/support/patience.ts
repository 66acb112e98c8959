/**
 * Milliseconds that a test waits for what has to come. It bounds the waiting and measures nothing: machines that test
 * have other work too, and may stand still for seconds.
 */
export const PATIENCE = 60_000;
