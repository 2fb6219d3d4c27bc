/** Access control lists as one line of text, such as "u::rw- u:7:rwx g::r-- m::rwx o::---". */
import { type Acl, ACL_TAG, encodeAcl } from "../../src/format/files/acl.ts";
import { parseAcl } from "../../src/vfs/acl.ts";

const NO_ID = 0xffff_ffff;
const LETTERS = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"];

export function acl(text: string): Buffer {
  const entries = text.split(" ").map((entry) => {
    const [kind = "", id = "", letters = ""] = entry.split(":");
    return { tag: tagOf(kind, id), permissions: LETTERS.indexOf(letters), id: id === "" ? NO_ID : Number(id) };
  });
  return encodeAcl(entries);
}

/** As text that survives UTF-8: unnamed entries have the id 0, which nobody reads. Named ids must be below 128. */
export function asciiAcl(text: string): string {
  return acl(text).toString("latin1").replaceAll("\xff", "\0");
}

export function aclText(value: Uint8Array): string {
  return (parseAcl(value) ?? []).map(entryText).join(" ");
}

function tagOf(kind: string, id: string): number {
  if (kind === "u") return id === "" ? ACL_TAG.owner : ACL_TAG.user;
  if (kind === "g") return id === "" ? ACL_TAG.owningGroup : ACL_TAG.group;
  return kind === "m" ? ACL_TAG.mask : ACL_TAG.other;
}

function entryText({ tag, permissions, id }: Acl[number]): string {
  const kind = new Map([
    [ACL_TAG.owner, "u"],
    [ACL_TAG.user, "u"],
    [ACL_TAG.owningGroup, "g"],
    [ACL_TAG.group, "g"],
    [ACL_TAG.mask, "m"],
  ] as readonly (readonly [number, string])[]).get(tag);
  return `${kind ?? "o"}:${id === NO_ID ? "" : id}:${LETTERS[permissions]}`;
}
