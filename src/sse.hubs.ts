import { Injectable } from '@nestjs/common';

import { show } from './protocol/event.js';
import { SSEError } from './sse.error.js';
import type { SSEService } from './sse.service.js';

/** The hubs of an application, by name; the one without a name has the empty one. */
@Injectable()
export class Hubs {
  readonly #byName = new Map<string, SSEService>();

  /** Throws `INVALID_CONFIG` for a second one of the same name. */
  add(name: string, hub: SSEService): void {
    if (this.#byName.has(name)) {
      throw new SSEError(
        'INVALID_CONFIG',
        `SSEModule is configured twice in this application ${name === '' ? 'without a name' : `as ${show(name)}`}, which would ` +
          'make hubs that do not know each other. Call SSEModule.forRoot() once, in the root module; it is global. Where ' +
          'it is not (isGlobal: false), other modules have imports: [SSEModule]. Hubs of their own have names: ' +
          'SSEModule.forRoot({ name }).',
      );
    }
    this.#byName.set(name, hub);
  }

  /** Each with its name. */
  get all(): readonly (readonly [name: string, hub: SSEService])[] {
    return [...this.#byName];
  }

  /** Throws `INVALID_CONFIG` where there is none of this name; `asker` is who wants it. */
  get(name: string, asker: string): SSEService {
    const hub = this.#byName.get(name);
    if (hub) return hub;
    const known = [...this.#byName.keys()].map((one) => (one === '' ? 'the one without a name' : show(one))).join(', ');
    const wanted = name === '' ? 'the hub without a name' : `the hub ${show(name)}`;
    throw new SSEError(
      'INVALID_CONFIG',
      `${asker} is for ${wanted}, and there is none. ${known === '' ? 'There are no hubs at all' : `There are: ${known}`}. Hubs are ` +
        'made by SSEModule.forRoot({ name }), and without a name by SSEModule.forRoot().',
    );
  }
}
