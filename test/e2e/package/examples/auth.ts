import type { CanActivate } from '@nestjs/common';

/** What the examples of access control take from the application around them. */

export interface User {
  readonly id: number;
  readonly sessionEndsAt: Date;
}

export declare class AuthGuard implements CanActivate {
  canActivate(): boolean;
}

export declare function CurrentUser(): ParameterDecorator;

export declare class DocumentsService {
  /** Rejects with a 403. */
  assertReadable(user: User, documentId: string): Promise<{ sharedAt: Date }>;
}
