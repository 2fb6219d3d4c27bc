/** Reads the body of an answer, and notices one that is cut or too long. */
import type { ExchangeAnswer } from "../../net/exchange.ts";
import { Unanswered } from "../../net/unanswered.ts";

/** The body of an answer. */
export interface SentBody {
  /** Its length, if the server sent it. */
  readonly promised: string | undefined;
  readonly most: number;
  readonly exceeded: () => Error;
  readonly read: ExchangeAnswer["read"];
}

export function tooLong(): Error {
  return new Unanswered(true, new Error("the answer is too long"));
}

/** The whole body. Throws `Unanswered` if it is truncated, and what `exceeded` says. */
export async function bodyOf(sent: SentBody): Promise<Uint8Array> {
  const length = Number(sent.promised);
  const whole = length <= sent.most ? new Uint8Array(Buffer.allocUnsafeSlow(length).buffer) : undefined;
  const parts: Uint8Array[] = [];
  await passOn(sent, (at, part) => {
    if (whole === undefined) parts.push(Uint8Array.from(part));
    else whole.set(part, at);
  });
  return whole ?? new Uint8Array(Buffer.concat(parts));
}

/** Hands over the body as it arrives. Throws as `bodyOf`. */
export async function passOn(sent: SentBody, take: (at: number, part: Uint8Array) => void): Promise<void> {
  const { promised, most, read } = sent;
  const length = promised === undefined ? undefined : Number(promised);
  let bytes = 0;
  let isTooLong = length !== undefined && !(length <= most);
  await read((part) => {
    isTooLong ||= bytes + part.length > (length ?? most);
    if (isTooLong) return "enough";
    take(bytes, part);
    bytes += part.length;
    return "more";
  });
  if (isTooLong) throw sent.exceeded();
  if (length !== undefined && bytes !== length) throw new Unanswered(true, new Error("the answer was cut"));
}
