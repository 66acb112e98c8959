import { createParamDecorator, type ExecutionContext } from '@nestjs/common';

import type { DemoRequest } from './demo-user.guard.js';
import type { DemoUser } from './demo-users.js';

/** The user whom DemoUserGuard let in. */
export const CurrentUser = createParamDecorator((_data: undefined, context: ExecutionContext): DemoUser => {
  const { user } = context.switchToHttp().getRequest<DemoRequest>();
  if (!user) throw new Error('@CurrentUser() needs @UseGuards(DemoUserGuard).');
  return user;
});
