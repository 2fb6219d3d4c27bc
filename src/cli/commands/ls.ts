/** `syncline ls`: lists a directory of a bucket, without a mount. */
import { timeText } from "../../base/clock.ts";
import type { FileName } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import { listDirectory, readObject, type TreeObject } from "../../fstree/fs-reader.ts";
import { dentryId } from "../../format/files/rows.ts";
import { encodeName, locateBucket } from "./bucket-path.ts";
import { type BucketReader, findObject, openReader, readTarget } from "./bucket-reader.ts";
import { command } from "../command.ts";
import { BUCKET_OPTIONS, readingAccess } from "../master-access.ts";
import type { Output } from "../terminal/output.ts";
import { exactTime, printName } from "../terminal/text.ts";

export const register = command({
  name: "ls",
  arguments: [["<url>", "bucket, or bucket/path"]],
  summary: "list a directory of a bucket, without a mount",
  options: ["at", ...BUCKET_OPTIONS],
  examples: ["syncline ls file:///srv/bucket/photos --at 2026-01-31T12:00:00Z"],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output } = call;
    const path = await locateBucket(call, args[0] ?? "", readingAccess(call));
    await using reader = await openReader(call, path.address, options.at, { stale: true });
    const object = await findObject(reader, path);
    if (object.record.type !== "directory")
      return await print(output, reader, path.names.at(-1) ?? ("" as FileName), object);
    const { nodes, tree } = reader;
    for await (const { name, dentry } of listDirectory(nodes, tree, object.id)) {
      const place = { parent: object.id, name };
      const child = await readObject(nodes, tree, dentryId(object.id, name, dentry), place);
      if (child !== undefined) await print(output, reader, name, child);
    }
  },
});

async function print(
  output: Output,
  reader: BucketReader,
  name: FileName,
  { id, record, names }: TreeObject,
): Promise<void> {
  const { type, mode, uid, gid, size, mtimeNs } = record;
  const target = type === "symlink" ? await readTarget(reader, record) : undefined;
  const value = {
    name: nameToText(name),
    encoded: encodeName(name),
    type,
    mode,
    uid,
    gid,
    size,
    mtime: exactTime(mtimeNs),
    id,
    links: names.length,
    ...(target === undefined ? {} : { target: nameToText(target as FileName) }),
  };
  const kind = TYPE_LETTERS[type];
  const arrow = target === undefined ? "" : ` -> ${printName(target as FileName)}`;
  const bits = mode.toString(8).padStart(4, "0");
  const line = `${kind} ${bits} ${String(size).padStart(12)} ${timeText(mtimeNs)} `;
  output.result(value, `${line}${printName(name)}${arrow}`, (text, paint) => {
    return type === "directory" ? `${line}${paint("blue", text.slice(line.length))}` : text;
  });
}

const TYPE_LETTERS = {
  file: "-",
  directory: "d",
  symlink: "l",
  fifo: "p",
  socket: "s",
  char: "c",
  block: "b",
} as const;
