/**
 * Change notices of a folder, from chokidar. A scan finds the actual changes, including unnoticed ones. If the system runs
 * out of watches, reports that and leaves everything to scans.
 */
import { statSync } from "node:fs";
import { basename, sep } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { watch, type FSWatcher } from "chokidar";
import { describeError } from "../../base/log.ts";
import { nameToText } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { DiskPath } from "../disk/disk.ts";
import { OWN_FOLDER } from "../disk/paths.ts";

/** Starts at rest. */
export interface FolderNotices extends AsyncDisposable {
  /** Why there are no notices; undefined while there are. */
  readonly failure: string | undefined;
  /** Pauses notices: for many actions of our own they are no news and cost more than the actions. */
  rest(): void;
  /**
   * Resumes notices, with one when everything is watched: anything may have changed meanwhile. Also needed after each pass:
   * if the folder went away and came back, as with its disk, the old watch is dead.
   */
  resume(): void;
}

export interface NoticeOptions {
  /** Paths ignored, with everything below them. */
  readonly hidden?: readonly DiskPath[];
  /** Called for each notice. `more`: a new directory may have got entries before it was watched. */
  readonly changed: (more: boolean) => void;
  /** Called once, when there will be no more notices. */
  readonly failed: (why: string) => void;
}

export function watchFolderTree(root: string, { changed, failed, hidden = [] }: NoticeOptions): FolderNotices {
  let failure: string | undefined;
  let watcher: FSWatcher | undefined;
  let watched: string | undefined;
  let closing: Promise<unknown> = Promise.resolve();
  const stop = () => {
    closing = Promise.all([closing, watcher?.close()]);
    watcher = undefined;
  };
  const fail = (error: unknown) => {
    if (failure !== undefined || !failedWith(error, ...NO_WATCHES)) return;
    failure = failedWith(error, "ENOSPC")
      ? "the system is out of inotify watches (fs.inotify.max_user_watches)"
      : describeError(error);
    failed(failure);
    stop();
  };
  return {
    get failure() {
      return failure;
    },
    rest: stop,
    resume() {
      const there = identityOf(root);
      if (there !== watched) stop();
      if (watcher !== undefined || failure !== undefined || there === undefined) return;
      watched = there;
      watcher = watchedBy(root, hidden, changed).on("error", fail);
    },
    async [Symbol.asyncDispose]() {
      stop();
      await closing;
    },
  };
}

/** Undefined: it is not there. */
function identityOf(root: string): string | undefined {
  try {
    const { dev, ino } = statSync(root, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

function watchedBy(root: string, hidden: readonly DiskPath[], changed: NoticeOptions["changed"]): FSWatcher {
  const left = hidden.map((path) => `${root}${sep}${path.map(nameToText).join(sep)}`);
  const watcher = watch(root, {
    ignoreInitial: true,
    followSymlinks: false,
    ignorePermissionErrors: true,
    atomic: false,
    ignored: (path, stats) => {
      if (basename(path) === OWN_FOLDER && path !== root) return true;
      if (left.some((each) => path === each || path.startsWith(each + sep))) return true;
      return DIRECTORIES_TELL && stats !== undefined && !stats.isDirectory();
    },
  });
  watcher.on("all", (event) => changed(event === "addDir"));
  if (DIRECTORIES_TELL) {
    watcher.on("raw", (_event, path, details: unknown) => {
      const isOwn = path === OWN_FOLDER && isDeepStrictEqual(details, { watchedPath: root });
      if (!isOwn) changed(false);
    });
  }
  return watcher.on("ready", () => changed(false));
}

/**
 * Whether a directory's watch also reports changes to its files, as with inotify. Files then need no watches of their own,
 * which are few and cost system calls and memory.
 */
const DIRECTORIES_TELL = process.platform === "linux";
/** No watches, instances or files left; and filesystems that cannot report changes. */
const NO_WATCHES = ["ENOSPC", "EMFILE", "ENFILE", "ENOSYS", "ENOTSUP", "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"];
