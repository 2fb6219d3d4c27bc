/**
 * Whoever stands still holds memory, or a place in line, that others may wait for: a sender in the middle of an upload, a reader of an
 * answer, an answer that waits behind another one. Alone he may take his time; while others wait for just that, he is cut before.
 */
import type { Clock } from "../base/clock.ts";

/** What stands still for so long is in the way … */
export const SLOW_CLIENT_PATIENCE_MS = 5_000;
/** … but a reader only if the system took nothing of an answer for so long: buffers of slow lines empty in bursts. */
export const READER_PATIENCE_MS = 10_000;
/** After that it is asked so often whether others wait. */
export const LOOK_MS = 500;

/** Calls `act`, once, when others wait, after so long at the earliest; until it is disposed. */
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
