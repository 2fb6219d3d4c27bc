/** Reports when a bucket's root may have moved: by the store's own hints where it has any, and by polling. */
import type { Clock } from "../../base/clock.ts";
import { Throttle, WATCH_THROTTLE_MS } from "../../base/throttle.ts";
import type { Cid } from "../../base/ids.ts";
import { orElse } from "../../base/unless.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
import type { ObjectStore, Polling } from "../../objects/object-store.ts";
import type { OwnSwap } from "./own-swap.ts";

/** From 1 s to 10 s in a minute without changes. */
const POLL_GROWTH = 1.2;

/**
 * Calls `changed` after the first look, and then whenever the root object differs from the last look, the store vanishes or
 * it comes back, until disposed. Ignores roots swapped in by `own`. Looks as `polling` says, and at once on a hint; for
 * hints in quick succession, once every WATCH_THROTTLE_MS, since only the newest root counts. Pauses while `own` is in
 * line, where every swap of others would wake it, and looks once that is over.
 */
export function watchRoot(
  store: ObjectStore,
  own: OwnSwap,
  clock: Clock,
  polling: Polling,
  changed: () => void,
): Disposable {
  let stopped = false;
  let looking = false;
  let again = false;
  let last: Look | undefined;
  let waitMs = polling.firstMs;
  let timer: Disposable | undefined;
  let hints: Disposable | undefined;

  const look = async (): Promise<void> => {
    if (own.isInLine || stopped) return;
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    timer?.[Symbol.dispose]();
    do {
      again = false;
      const seen = await lookAt(store);
      if (stopped) return;
      const before = last;
      last = seen;
      const swap = own.look(seen.commit);
      if (swap === "none" && seen.text === before?.text) {
        waitMs = Math.min(waitMs * POLL_GROWTH, polling.lastMs);
        continue;
      }
      waitMs = polling.firstMs;
      if (before === UNREACHABLE && seen !== UNREACHABLE) listen();
      if (swap !== "own" || before === undefined || before === UNREACHABLE) changed();
    } while (again);
    looking = false;
    timer?.[Symbol.dispose]();
    timer = clock.after(waitMs, () => void look());
  };

  const listen = () => {
    hints?.[Symbol.dispose]();
    hints = undefined;
    if (own.isInLine) return;
    // Most hints come from own swaps: while one is under way, its outcome tells what a look would find.
    hints = store.watch?.(ROOT_OBJECT, () => void (own.isUnderWay || hinted.call()));
  };
  const hinted = new Throttle(clock, WATCH_THROTTLE_MS, () => void look());
  const line = own.onLine(() => {
    listen();
    if (!own.isInLine) hinted.call();
  });

  listen();
  void look();
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      line[Symbol.dispose]();
      timer?.[Symbol.dispose]();
      hints?.[Symbol.dispose]();
      hinted[Symbol.dispose]();
    },
  };
}

interface Look {
  readonly text: string;
  readonly commit: Cid | undefined;
}

const UNREACHABLE: Look = { text: "unreachable", commit: undefined };
const ABSENT: Look = { text: "absent", commit: undefined };

/** Reading the root reports errors of the store; here an error only has to look different. */
async function lookAt(store: ObjectStore): Promise<Look> {
  try {
    const object = await store.get(ROOT_OBJECT);
    return object === undefined ? ABSENT : { text: object.token, commit: commitIn(object.bytes) };
  } catch {
    return UNREACHABLE;
  }
}

function commitIn(bytes: Uint8Array): Cid | undefined {
  return orElse(undefined, () => decodeRoot(bytes).commit);
}
