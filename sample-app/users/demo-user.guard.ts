import type { IncomingHttpHeaders } from 'node:http';

import { type CanActivate, type ExecutionContext, Injectable, UnauthorizedException } from '@nestjs/common';

import { DEFAULT_USER, type DemoUser, findDemoUser } from './demo-users.js';

export interface DemoRequest {
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  user?: DemoUser;
}

/**
 * Stands in for a session: `?user=7`, or a cookie `user=7`. A bare EventSource sends no headers of its own, but it does
 * send cookies.
 */
@Injectable()
export class DemoUserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<DemoRequest>();
    const claimed = request.query['user'] ?? cookieOf(request.headers.cookie, 'user');
    const user = claimed === undefined ? DEFAULT_USER : typeof claimed === 'string' && findDemoUser(claimed);
    if (!user) throw new UnauthorizedException('The demo knows the users 42 and 7.');
    request.user = user;
    return true;
  }
}

function cookieOf(cookies = '', name: string): string | undefined {
  const pair = cookies.split(/; */).find((text) => text.startsWith(`${name}=`));
  return pair?.slice(name.length + 1);
}
