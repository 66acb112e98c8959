import { type CanActivate, type ExecutionContext, ForbiddenException, Injectable } from '@nestjs/common';

import type { DemoRequest } from './demo-user.guard.js';

/** Comes after DemoUserGuard. */
@Injectable()
export class AdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (context.switchToHttp().getRequest<DemoRequest>().user?.admin) return true;
    throw new ForbiddenException('Only administrators see connections.');
  }
}
