import type { INestApplication } from '@nestjs/common';
import { Transport } from '@nestjs/microservices';

/** In main.ts, before `app.listen()`. */
export async function listenToOrders(app: INestApplication) {
  const servers = process.env['NATS_URL'] ?? 'nats://localhost:4222';
  app.connectMicroservice({ transport: Transport.NATS, options: { servers, queue: 'shop' } });
  await app.startAllMicroservices();
}
