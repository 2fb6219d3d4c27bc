/**
 * A process that stores blocks in a master's data folder, four puts at a time, until it is killed. It reports the number of
 * each block once its put succeeded.
 */
import { systemClock } from "../../src/base/clock.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openMasterStore } from "../../src/master/store/master-store.ts";
import { numberedBlock } from "./numbered-block.ts";

const [dir = "", owner = "", first = ""] = process.argv.slice(2);
const PACK_BYTES = 300_000;
const store = await openMasterStore({
  dir,
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  packBytes: PACK_BYTES,
});
const blocks = await store.of(owner as Wallet);
let next = Number(first);
await Promise.all(
  [1, 2, 3, 4].map(async (size) => {
    for (;;) {
      const numbers = Array.from({ length: size * 3 }, () => next++);
      await blocks.put(numbers.map(numberedBlock));
      process.send?.(numbers);
    }
  }),
);
