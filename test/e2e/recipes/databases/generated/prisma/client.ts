/**
 * What `prisma generate` makes of a schema with orders and invoices, as far as the recipe uses it. Prisma itself is no
 * dependency: it takes 300 MB, and asks for a newer Node than 20.
 */

interface OrderRow {
  readonly id: number;
  readonly total: number;
}

interface Creating<Row, Data> {
  create(args: { data: Data }): Promise<Row>;
}

interface Tables {
  readonly order: Creating<OrderRow, { total: number }>;
  readonly invoice: Creating<{ orderId: number }, { orderId: number; total: number }>;
}

export declare class PrismaClient implements Tables {
  readonly order: Tables['order'];
  readonly invoice: Tables['invoice'];
  $transaction<T>(act: (tx: Tables) => Promise<T>): Promise<T>;
}
