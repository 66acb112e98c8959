/** What the hub keeps of one topic, where no rule says anything else, in events. */
export const MAX_HISTORY_SIZE = 1_000;
/** And of all topics together. */
export const MAX_HISTORY_BYTES = 64 * 1024 * 1024;
