/** As much of a `BroadcastChannel` as is used. */
export interface Channel {
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  postMessage(message: unknown): void;
  close(): void;
}

/** As much of a browser as is used, so that the types of a page are not needed where this is compiled. */
export interface Page {
  readonly document?: { readonly baseURI: string };
  readonly sessionStorage?: {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
  };
  readonly navigator?: {
    readonly locks?: {
      request(name: string, options: LockOptions, held: () => Promise<void>): Promise<void>;
    };
  };
  readonly BroadcastChannel?: new (name: string) => Channel;
}

export interface LockOptions {
  readonly signal?: AbortSignal;
  readonly steal?: boolean;
}

/** Asked for anew whenever it is used: a page may be made after this was loaded. */
export function page(): Page {
  return globalThis as unknown as Page;
}
