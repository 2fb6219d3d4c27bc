/** A lock as lockdiscovery shows it (RFC 4918, section 15.8). */
import { type Lock, rootOf } from "./locks.ts";
import { escapeText } from "../xml/xml-text.ts";

export function activeLock(lock: Lock, secondsLeft: number): string {
  const { token, isDeep, isExclusive, owner } = lock;
  return (
    `<D:activelock><D:locktype><D:write/></D:locktype>` +
    `<D:lockscope><D:${isExclusive ? "exclusive" : "shared"}/></D:lockscope>` +
    `<D:depth>${isDeep ? "infinity" : "0"}</D:depth>${owner}` +
    `<D:timeout>Second-${secondsLeft}</D:timeout>` +
    `<D:locktoken><D:href>${escapeText(token)}</D:href></D:locktoken>` +
    `<D:lockroot><D:href>${escapeText(rootOf(lock))}</D:href></D:lockroot></D:activelock>`
  );
}
