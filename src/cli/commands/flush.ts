/** `syncline flush`: waits until everything written is in the bucket. */
import { SynclineError } from "../../base/errors.ts";
import { command } from "../command.ts";
import { ERROR_STATUSES } from "../exit-status.ts";
import { allowCommand, heldText } from "./held-deletions.ts";
import { askServing, longPatience, requireAgent } from "./running-agents.ts";
import { printRest, printText } from "../terminal/text.ts";

export const register = command({
  name: "flush",
  arguments: [["[dir]", "a mount, a synced folder or a WebDAV address; default: the only one"]],
  summary: "publish pending changes, and wait for it",
  options: ["allowDeletes"],
  examples: ["syncline flush ~/bucket"],
  exits: [3, 4, 5, 6, 7, 8],
  async run({ args, options, output, runtime }) {
    const served = await requireAgent(runtime, options.state, args[0]);
    const { allowDeletes } = options;
    const patience = longPatience(runtime);
    const statusNow = async () => askServing<"status">(served, { call: "status" }, patience);
    if (allowDeletes !== undefined && (await statusNow()).guard === null) {
      throw new SynclineError("precondition_failed", "No deletions await approval.", {
        hint: "`syncline status` shows held deletions and their digest.",
      });
    }
    const report = await askServing<"flush">(served, { call: "flush", allowDeletes }, patience);
    const { published, root, pending, error } = report;
    if (published) {
      output.result({ ...report }, `Published: root ${root}`);
      return 0;
    }
    const { guard: held, doors } = await statusNow();
    const status = error === null ? UNREACHABLE : ERROR_STATUSES[error.code];
    const isAway = status === UNREACHABLE;
    const why = isAway ? "the bucket is unreachable" : "others' changes are not received";
    const away = `Nothing is pending, but ${why}: ${printText(error?.message ?? "no answer")}`;
    const failed = pending.files > 0 ? printRest(pending, error) : away;
    // Held deletions are not counted as pending.
    const isHeldOnly = held !== null && pending.files === 0 && error === null;
    output.result(
      { ...report, ...(held !== null && { guard: held }) },
      isHeldOnly ? `Not everything is published: ${heldText(held)}.` : failed,
    );
    if (held !== null) {
      output.notice(`${heldText(held)}. If that is intended: ${allowCommand(doors, held)}`);
      return 7;
    }
    if (!isAway && error !== null && error.hint !== null) output.notice(printText(error.hint));
    // Nothing is left to publish, but the bucket could not be reached to see others' changes.
    return pending.files > 0 || error === null ? 3 : status;
  },
});

const UNREACHABLE = ERROR_STATUSES.store_unreachable;
