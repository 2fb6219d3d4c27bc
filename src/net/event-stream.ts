/** Server-sent events, as far as a watch needs them: https://html.spec.whatwg.org/multipage/server-sent-events.html */
import { SynclineError } from "../base/errors.ts";

export interface ServerEvent {
  /** "message" unless the stream names it. */
  readonly event: string;
  readonly data: string;
  /** The last id that the stream named; undefined before the first. */
  readonly id: string | undefined;
}

/** The most characters that one event may have, over all its lines. */
const MAX_EVENT_CHARS = 64 * 1024;

/** The events of a stream as they arrive; undefined for a comment, which only shows liveness. Throws `limit_exceeded`. */
export async function* serverEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent | undefined> {
  let id: string | undefined;
  let event = "";
  let data: string[] = [];
  let chars = 0;
  for await (const line of linesOf(body)) {
    if (line === "") {
      if (data.length > 0) yield { event: event === "" ? "message" : event, data: data.join("\n"), id };
      event = "";
      data = [];
      chars = 0;
      continue;
    }
    // The line end counts too, so that empty lines are not free.
    chars += line.length + 1;
    if (chars > MAX_EVENT_CHARS) throw tooLong();
    if (line.startsWith(":")) {
      yield undefined;
      continue;
    }
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") event = value;
    if (field === "id" && !value.includes("\0")) id = value;
    if (field === "data") data.push(value);
  }
}

/** Looks at each byte once, however small the parts are: a master may send a long line byte by byte. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line = "";
  /** A "\r" at the end of a part may be half of a "\r\n". */
  let held = "";
  for await (const part of body) {
    const text = held + decoder.decode(part, { stream: true });
    held = text.endsWith("\r") ? "\r" : "";
    const [first = "", ...others] = text.slice(0, text.length - held.length).split(/\r\n|\n|\r/);
    const lines = [line + first, ...others];
    line = lines.pop() ?? "";
    if (line.length > MAX_EVENT_CHARS) throw tooLong();
    yield* lines;
  }
}

function tooLong(): SynclineError {
  return new SynclineError("limit_exceeded", `An event from the master has more than ${MAX_EVENT_CHARS} characters.`);
}
