/**
 * Notices that something may have changed in the folder, from chokidar. Only notices: what did change a scan finds, also what was
 * never noticed. Where the system has no more watches to give, it says so and leaves everything to scans.
 */
import { sep } from "node:path";
import { watch } from "chokidar";
import { describeError } from "../base/log.ts";
import { failedWith } from "../objects/disk.ts";
import { OWN_FOLDER } from "./paths.ts";

export interface FolderNotices extends AsyncDisposable {
  /** Why there are none; undefined while there are. */
  readonly failure: string | undefined;
}

export interface NoticeOptions {
  /** Called for each notice. */
  readonly changed: () => void;
  /** Called once, when there will be no more notices. */
  readonly failed: (why: string) => void;
}

export function watchFolderTree(root: string, { changed, failed }: NoticeOptions): FolderNotices {
  let failure: string | undefined;
  let closing: Promise<void> | undefined;
  const own = `${root}${sep}${OWN_FOLDER}`;
  const watcher = watch(root, {
    ignoreInitial: true,
    followSymlinks: false,
    ignorePermissionErrors: true,
    atomic: false,
    ignored: (path) => path === own || path.startsWith(own + sep),
  });
  watcher.on("all", () => changed());
  watcher.on("error", (error: unknown) => {
    if (failure !== undefined || !failedWith(error, ...NO_WATCHES)) return;
    failure = failedWith(error, "ENOSPC")
      ? "the system has no more inotify watches (fs.inotify.max_user_watches)"
      : describeError(error);
    failed(failure);
    closing = watcher.close();
  });
  return {
    get failure() {
      return failure;
    },
    [Symbol.asyncDispose]: () => closing ?? watcher.close(),
  };
}

/** Out of watches, of watching instances, or of files; and filesystems that cannot tell. */
const NO_WATCHES = ["ENOSPC", "EMFILE", "ENFILE", "ENOSYS", "ENOTSUP", "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"];
