/** Stands for a database. */
export const orders = {
  find: (id: string) => Promise.resolve({ id, total: 20 }),
};
