/**
 * What other mounts use of a mount: directories that they are mounted on, and layers of an overlayfs. Linux detaches a mount
 * whose directory loses its name in the kernel's caches, and an overlayfs fails if names in its layers do.
 */
import type { FileName } from "../base/ids.ts";
import { deviceServed, MOUNT_TYPE, type MountEntry, readMountTable, unescapeOctal } from "./mount-table.ts";

/** A directory that other mounts use, or that leads to what they use. */
export interface Used {
  /** Whether they use everything below it. */
  readonly isLayer: boolean;
  readonly names: ReadonlyMap<FileName, Used>;
}

/** What others use below this name. Undefined: nothing. */
export function usedBelow(used: Used, name: FileName): Used | undefined {
  return used.isLayer ? used : used.names.get(name);
}

/** What is used of the mount that this descriptor of /dev/fuse serves, as far as this process sees. Undefined: nothing. */
export async function usedInside(descriptor: number, mountPoint: string): Promise<Used | undefined> {
  const table = await readMountTable();
  const top = table.findLast((mount) => mount.mountPoint === mountPoint && mount.type === MOUNT_TYPE);
  const device = (await deviceServed(descriptor)) ?? top?.device;
  return device === undefined ? undefined : usedOf(table, device);
}

/** What is used of the mounts of one device. */
export function usedOf(table: readonly MountEntry[], device: string): Used | undefined {
  const root: Node = { isLayer: false, names: new Map() };
  const own = table.filter((mount) => mount.device === device);
  for (const mount of table) {
    const below = own.find(({ id }) => id === mount.parent);
    if (below !== undefined) nodeAt(root, pathIn(below, mount.mountPoint));
    for (const layer of mount.type === "overlay" ? layersOf(mount) : []) {
      for (const each of own) {
        const path = pathIn(each, layer);
        if (path !== undefined) nodeAt(root, path).isLayer = true;
      }
    }
  }
  return root.isLayer || root.names.size > 0 ? root : undefined;
}

interface Node {
  isLayer: boolean;
  readonly names: Map<FileName, Node>;
}

function nodeAt(root: Node, path: readonly FileName[] = []): Node {
  let node = root;
  for (const name of path) {
    const next = node.names.get(name) ?? { isLayer: false, names: new Map() };
    node.names.set(name, next);
    node = next;
  }
  return node;
}

/** The names that lead from the root of the filesystem to an absolute path in this mount of it. */
function pathIn({ mountPoint, root }: MountEntry, path: string): FileName[] | undefined {
  if (path !== mountPoint && !path.startsWith(`${mountPoint}/`)) return undefined;
  const names = `${root}/${path.slice(mountPoint.length)}`.split("/").filter((name) => name !== "");
  return names.map((name) => Buffer.from(name, "utf8").toString("latin1") as FileName);
}

/** The absolute paths among an overlayfs's options. Nobody knows what a relative one was relative to. */
function layersOf({ options }: MountEntry): string[] {
  return options.split(",").flatMap((option) => {
    const [, paths = ""] = /^(?:upperdir|workdir|(?:lower|data)dir\+?)=(.*)$/.exec(option) ?? [];
    return unescapeOctal(paths)
      .split(/(?<!\\):/)
      .filter((path) => path.startsWith("/"));
  });
}
