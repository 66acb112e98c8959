/** What the example of `@EventStream()` takes from the application around it. */

export interface Job {
  readonly id: string;
  readonly owner: number;
  readonly isForgotten: boolean;
}

export declare class JobsService {
  find(id: string): Promise<Job | undefined>;
  start(what: object): Promise<Job>;
}
