/**
 * Cuts stalled clients that hold memory, or a place in line, that others wait for: a sender during an upload, a reader of
 * an answer, an answer that waits behind another one. They may take their time until others wait for it.
 */
import type { Clock } from "../base/clock.ts";

/** A client that stalls for this long is in the way … */
export const SLOW_CLIENT_PATIENCE_MS = 5_000;
/** … but a reader only if the system took no bytes of an answer for this long: slow lines empty in bursts. */
export const READER_PATIENCE_MS = 10_000;
/** After that, the interval of checks whether others wait. */
export const LOOK_MS = 500;

/** Calls `act` once, when others wait, but not before the given time; until it is disposed. */
export function whenInTheWay(
  clock: Clock,
  isInTheWay: (() => boolean) | undefined,
  act: () => void,
  patienceMs: number = SLOW_CLIENT_PATIENCE_MS,
): Disposable {
  if (isInTheWay === undefined) return { [Symbol.dispose]: () => {} };
  const look = () => {
    if (isInTheWay()) act();
    else timer = clock.after(LOOK_MS, look);
  };
  let timer = clock.after(patienceMs, look);
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
