/** 207 Multi-Status, sent while it is generated. */
import { type Call, writePiece } from "../call.ts";

const HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">';
const PIECE_CHARS = 64 * 1024;

export class Multistatus {
  readonly #call: Call;
  #waiting = "";
  #begun = false;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Adds whole response elements. Rejects if the client disconnected. */
  async add(xml: string): Promise<void> {
    this.#waiting += xml;
    if (this.#waiting.length >= PIECE_CHARS) await this.#send();
  }

  /** `last`: what follows the responses. */
  async end(last = ""): Promise<void> {
    this.#waiting += `${last}</D:multistatus>\n`;
    await this.#send();
    this.#call.response.end();
  }

  async #send(): Promise<void> {
    const { response } = this.#call;
    if (!this.#begun) {
      this.#begun = true;
      response.writeHead(207, { "content-type": "application/xml; charset=utf-8", "cache-control": "no-cache" });
      this.#waiting = HEAD + this.#waiting;
    }
    const piece = this.#waiting;
    this.#waiting = "";
    await writePiece(this.#call, piece);
  }
}

/** `found` and `others` are property elements; an empty group is left out, unless both are. */
export function propertyResponse(href: string, found: string, missing: string): string {
  const missed = missing === "" ? "" : propstat(missing, 404);
  const had = found === "" && missed !== "" ? "" : propstat(found, 200);
  return `<D:response><D:href>${href}</D:href>${had}${missed}</D:response>`;
}

export function propstat(properties: string, status: number, more = ""): string {
  return `<D:propstat><D:prop>${properties}</D:prop><D:status>${statusLine(status)}</D:status>${more}</D:propstat>`;
}

/** A member that is gone, or that had an error. */
export function statusResponse(href: string, status: number): string {
  return `<D:response><D:href>${href}</D:href><D:status>${statusLine(status)}</D:status></D:response>`;
}

function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASONS[status] ?? "Failed"}`;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  423: "Locked",
  424: "Failed Dependency",
  507: "Insufficient Storage",
};
