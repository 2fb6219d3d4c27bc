/** The script that mount(8) calls for `mount -t syncline` and fstab: written and removed only when asked to. */
import { chmodSync, existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { SynclineError } from "../../base/errors.ts";
import { failedWith } from "../../base/system-errors.ts";
import { NODE_FLAGS } from "../../runtime/memory.ts";
import { addCommand, type Call, type Program } from "../command.ts";
import { MOUNT_HELPER } from "../mount-helper.ts";

/** mount(8) looks in /sbin, which systems with a merged /usr link to /usr/sbin. */
const PATH = `/usr/sbin/${MOUNT_HELPER}`;
const MARK = "# Written by: syncline service install-mount-helper";

export function registerMountHelper(program: Program): void {
  addCommand(program, {
    name: "service install-mount-helper",
    summary: `write ${PATH}, for mount -t syncline and /etc/fstab (as root)`,
    options: ["dryRun"],
    examples: ["syncline service install-mount-helper"],
    exits: [4],
    run: install,
  });
  addCommand(program, {
    name: "service uninstall-mount-helper",
    summary: `remove ${PATH}`,
    options: ["dryRun"],
    examples: ["syncline service uninstall-mount-helper"],
    exits: [4],
    run: uninstall,
  });
}

async function install({ options, output }: Call<"dryRun">): Promise<void> {
  if (process.platform !== "linux") throw new SynclineError("not_supported", "Mounts need Linux.");
  const main = realpathSync(process.argv[1] ?? "");
  const text = helperText([process.execPath, ...NODE_FLAGS, main]);
  checkOurs();
  if (options.dryRun === true) {
    output.result({ helper: PATH, text, written: false }, `${PATH} would contain:\n${text}`);
    return;
  }
  change(() => {
    writeFileSync(PATH, text);
    // Whatever the umask: mount(8) runs it as the user who mounts.
    chmodSync(PATH, 0o755);
  });
  output.result({ helper: PATH, text, written: true }, `Wrote ${PATH}. Now this mounts: mount -t syncline URL DIR`);
}

async function uninstall({ options, output }: Call<"dryRun">): Promise<void> {
  if (!existsSync(PATH)) throw new SynclineError("no_such_path", `There is no ${PATH}.`);
  checkOurs();
  if (options.dryRun === true) {
    output.result({ helper: PATH, removed: false }, `${PATH} would be removed.`);
    return;
  }
  change(() => rmSync(PATH));
  output.result({ helper: PATH, removed: true }, `Removed ${PATH}. Existing mounts stay.`);
}

/** Names its interpreter and program in full, since PATH is short at boot. */
export function helperText(program: readonly string[]): string {
  const words = program.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`);
  return ["#!/bin/sh", MARK, `exec ${words.join(" ")} ${MOUNT_HELPER} "$@"`, ""].join("\n");
}

function checkOurs(): void {
  if (!existsSync(PATH) || readFileSync(PATH, "utf8").split("\n")[1] === MARK) return;
  throw new SynclineError("path_exists", `${PATH} was not written by service install-mount-helper.`, {
    hint: "If you do not need it, delete the file by hand.",
  });
}

function change(write: () => void): void {
  try {
    write();
  } catch (cause) {
    if (!failedWith(cause, "EACCES", "EPERM", "EROFS")) throw cause;
    throw new SynclineError("local_io_failed", `This user may not write ${PATH}.`, { hint: "Run it as root.", cause });
  }
}
