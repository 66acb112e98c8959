import { randomUUID } from 'node:crypto';

import { Injectable } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { SSEService } from 'nestjs-sse-hub';

import { DEMO_USERS, type DemoUser, userTopic } from '../users/demo-users.js';

export class Notification {
  @ApiProperty()
  readonly id!: string;

  @ApiProperty()
  readonly from!: string;

  @ApiProperty()
  readonly text!: string;

  @ApiProperty({ format: 'date-time' })
  readonly createdAt!: string;
}

export class Inbox {
  @ApiProperty()
  readonly unread!: number;

  /** Newest first. */
  @ApiProperty({ type: [Notification] })
  readonly notifications!: readonly Notification[];
}

interface Events {
  [user: `user:${number}`]: {
    /** Without the number of unread ones: two nodes that publish at a time would both say the same. The page counts. */
    notification: { notification: Notification };
    read: { unread: number };
  };
}

const KEPT = 20;

/** Inboxes are what the log says, so they are the same on every node that was there to hear it. */
@Injectable()
export class NotificationsService {
  readonly #inboxes = new Map<number, Inbox>();

  constructor(private readonly sse: SSEService<Events>) {
    for (const user of DEMO_USERS) {
      sse.observe(userTopic(user)).subscribe(({ event, data }) => {
        if (event === 'notification') this.#put(user, data.notification);
        if (event === 'read')
          this.#inboxes.set(user.id, { unread: 0, notifications: this.inboxOf(user).notifications });
      });
    }
  }

  inboxOf(user: DemoUser): Inbox {
    return this.#inboxes.get(user.id) ?? { unread: 0, notifications: [] };
  }

  create(from: DemoUser, to: DemoUser, text: string): Notification {
    const notification = { id: randomUUID(), from: from.name, text, createdAt: new Date().toISOString() };
    this.sse.broadcast(userTopic(to), 'notification', { notification });
    return notification;
  }

  markAllRead(user: DemoUser): void {
    this.sse.broadcast(userTopic(user), 'read', { unread: 0 });
  }

  #put(user: DemoUser, notification: Notification): void {
    const { unread, notifications } = this.inboxOf(user);
    this.#inboxes.set(user.id, { unread: unread + 1, notifications: [notification, ...notifications].slice(0, KEPT) });
  }
}
