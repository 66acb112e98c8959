import { Injectable } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { type DemoUser, userTopic } from '../users/demo-users.js';

export interface Notification {
  readonly id: number;
  readonly from: string;
  readonly text: string;
  readonly createdAt: string;
}

export interface Inbox {
  readonly unread: number;
  /** Newest first. */
  readonly notifications: readonly Notification[];
}

interface Events {
  notification: { notification: Notification; unread: number };
  read: { unread: number };
}

const KEPT = 20;

@Injectable()
export class NotificationsService {
  readonly #inboxes = new Map<number, Inbox>();
  #lastId = 0;

  constructor(private readonly sse: SSEService<Events>) {}

  inboxOf(user: DemoUser): Inbox {
    return this.#inboxes.get(user.id) ?? { unread: 0, notifications: [] };
  }

  create(from: DemoUser, to: DemoUser, text: string): Notification {
    const notification = { id: ++this.#lastId, from: from.name, text, createdAt: new Date().toISOString() };
    const inbox = this.inboxOf(to);
    const unread = inbox.unread + 1;
    this.#inboxes.set(to.id, { unread, notifications: [notification, ...inbox.notifications].slice(0, KEPT) });
    this.sse.broadcast(userTopic(to), 'notification', { notification, unread });
    return notification;
  }

  markAllRead(user: DemoUser): void {
    this.#inboxes.set(user.id, { ...this.inboxOf(user), unread: 0 });
    this.sse.broadcast(userTopic(user), 'read', { unread: 0 });
  }
}
