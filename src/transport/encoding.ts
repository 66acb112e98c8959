import type { Batch } from '../protocol/frame.js';
import {
  acceptsGzip,
  type Checksum,
  type CompressionOptions,
  GZIP_HEADER,
  gzipTrailer,
  NOTHING,
} from '../protocol/gzip.js';

/** How the bytes of one stream are encoded. */
export interface Encoding {
  readonly headers: { readonly 'Content-Encoding'?: string; readonly Vary?: string };
  /** Before everything else. */
  readonly head: Buffer | undefined;
  /** As HTTP/1.1 chunks. Each batch is asked for once, in one of the two forms. */
  chunks(batch: Batch): readonly Buffer[];
  payloads(batch: Batch): readonly Buffer[];
  /** At an orderly end. */
  tail(): Buffer | undefined;
}

const NO_HEADERS = Object.freeze({});

export const IDENTITY: Encoding = {
  headers: NO_HEADERS,
  head: undefined,
  chunks: (batch) => batch.chunks,
  payloads: (batch) => batch.payloads,
  tail: () => undefined,
};

/** The same answer may look different to another client: caches have to know. */
const IDENTITY_OF_TWO: Encoding = { ...IDENTITY, headers: Object.freeze({ Vary: 'Accept-Encoding' }) };

/** A gzip stream of one client, made of blocks that are shared by all: only the checksum at its end is its own. */
class GzipEncoding implements Encoding {
  readonly headers = GZIP_HEADERS;
  readonly head = GZIP_HEADER;
  #sum: Checksum = NOTHING;

  constructor(private readonly options: CompressionOptions) {}

  chunks(batch: Batch): Buffer[] {
    return batch.gzip(this.options).map((member) => {
      this.#sum = member.addTo(this.#sum);
      return member.chunk;
    });
  }

  payloads(batch: Batch): Buffer[] {
    return batch.gzip(this.options).map((member) => {
      this.#sum = member.addTo(this.#sum);
      return member.bytes;
    });
  }

  tail(): Buffer {
    return gzipTrailer(this.#sum);
  }
}

const GZIP_HEADERS = Object.freeze({ 'Content-Encoding': 'gzip', Vary: 'Accept-Encoding' });

/** `undefined` options for no compression. */
export function encodingFor(acceptEncoding: string | undefined, options: CompressionOptions | undefined): Encoding {
  if (!options) return IDENTITY;
  return acceptsGzip(acceptEncoding) ? new GzipEncoding(options) : IDENTITY_OF_TWO;
}
