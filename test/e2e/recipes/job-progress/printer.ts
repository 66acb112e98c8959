import { Injectable } from '@nestjs/common';

/** The work of a job. */
@Injectable()
export class Printer {
  print(page: number): Promise<void> {
    return page < 0 ? Promise.reject(new Error('There is no such page.')) : Promise.resolve();
  }
}
