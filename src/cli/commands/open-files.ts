/** Paths that name an open file of a process, such as /dev/stdin and /proc/self/fd/1. What they link to may have no name. */
import { readlink, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";

/** Follows links until one is such a path. False also for a missing path. */
export async function namesOpenFile(path: string): Promise<boolean> {
  let at = path;
  for (let links = 0; links < MOST_LINKS; links++) {
    try {
      const folder = await realpath(dirname(at));
      at = join(folder, basename(at));
      if (OPEN_FILE.test(at)) return true;
      const leadsTo = await readlink(at);
      at = isAbsolute(leadsTo) ? leadsTo : join(folder, leadsTo);
    } catch {
      return false;
    }
  }
  return false;
}

const OPEN_FILE = /^\/(proc\/\w+\/(task\/\d+\/)?fd\/\d+|dev\/(fd\/\d+|std(in|out|err)))$/;
/** As on Linux. */
const MOST_LINKS = 40;
