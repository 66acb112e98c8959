export interface DemoUser {
  readonly id: number;
  readonly name: string;
  readonly admin: boolean;
}

const ADA: DemoUser = { id: 42, name: 'Ada', admin: true };
const GRACE: DemoUser = { id: 7, name: 'Grace', admin: false };

/** All there are. */
export const DEMO_USERS: readonly DemoUser[] = [ADA, GRACE];

const USERS = new Map(DEMO_USERS.map((user) => [String(user.id), user]));

/** Who a visitor is that does not say. */
export const DEFAULT_USER = ADA;

export function findDemoUser(id: string): DemoUser | undefined {
  return USERS.get(id);
}

/** The topic of what concerns one user, and the group of that user's streams. */
export function userTopic(user: DemoUser): `user:${number}` {
  return `user:${user.id}`;
}
