/** All that a program sees of a mount, for comparison. */
import { SynclineError } from "../../base/errors.ts";
import type { KernelMount } from "../kernel-mount.ts";
import { isDirectory, type Shown } from "./shown.ts";

/** Path → what a program sees there. */
export async function treeOf(mount: KernelMount, root = "", times = true): Promise<Map<string, string>> {
  const tree = new Map<string, string>();
  const first = new Map<number, string>();
  const walk = async (path: string): Promise<void> => {
    const shown = await mount.show(path);
    if (shown === undefined)
      throw new SynclineError("internal", `The listing names ${path}, but the lookup does not find it.`);
    tree.set(path, describe(path, shown, first, times));
    if (!isDirectory(shown.attributes)) return;
    for (const name of shown.names) await walk(path === "" ? name : `${path}/${name}`);
  };
  await walk(root);
  return tree;
}

function describe(path: string, { attributes, contents }: Shown, first: Map<number, string>, times: boolean): string {
  const { ino, mode, nlink, size, mtimeNs } = attributes;
  const same = first.get(ino) ?? path;
  first.set(ino, same);
  return `${mode.toString(8)} ${nlink} ${size} ${times ? mtimeNs : ""} ${same} ${contents.toString("latin1")}`;
}

/** Whether it moved to the root directory, where no program writes. Conflict names there are legal. */
export function isMisplaced(path: string, homes: ReadonlySet<string>): boolean {
  return !path.includes("/") && !homes.has(path) && !path.includes(" (conflict ");
}

export function differences(expected: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): string[] {
  const paths = [...new Set([...expected.keys(), ...found.keys()])].filter(
    (path) => expected.get(path) !== found.get(path),
  );
  return paths.map((path) => `${path} is ${found.get(path)}, not ${expected.get(path)}`);
}
