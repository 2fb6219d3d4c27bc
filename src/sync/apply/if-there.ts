/** For what others may have removed or replaced. */
import { failedWith } from "../../base/system-errors.ts";

/** Does nothing to what is not there, or may not be changed. */
export async function ifThere(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EPERM", "EACCES")) throw error;
  }
}
