/** Serves folders to browsers: the page, its script and its style. */
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { unlessSync } from "../../base/unless.ts";
import type { Ino, WriterId } from "../../base/ids.ts";
import { plainNameOf } from "../../bucket/conflicts/marked-name.ts";
import { answer, type Call, type FolderPage } from "../call.ts";
import { isFolder } from "../../files/resolved-path.ts";
import { isStale } from "../../files/stale.ts";
import type { ListedAttributes } from "../../vfs/filesystem.ts";
import { listing } from "../methods/propfind.ts";
import { ASSETS, folderPage, type ShownEntry } from "./folder-view.ts";

/** The most entries of a page: sorting needs all of them in memory. */
const MAX_SHOWN = 5_000;

/** Tells which machine a conflict copy is from. */
export interface CopyOrigins {
  /** Undefined if it is not a conflict copy. Throws BlockMiss. */
  conflictWriter(ino: Ino): WriterId | undefined;
  machineName(writer: WriterId): Promise<string>;
}

export function createFolderPage(origins: CopyOrigins): FolderPage {
  return async (call, ino, path) => {
    const asset = path.length === 0 ? ASSET_FILES.get(call.request.url ?? "") : undefined;
    if (asset !== undefined) return sendAsset(call, asset);
    const entries: ShownEntry[] = [];
    const names = new Map<WriterId, string>();
    const machineOf = async (copy: ListedAttributes) => {
      // Its number may have to be looked up.
      const writer = await call.access.run(() => unlessSync(isStale, () => origins.conflictWriter(copy.ino)));
      if (writer === undefined) return undefined;
      const name = names.get(writer) ?? (await origins.machineName(writer));
      names.set(writer, name);
      return name;
    };
    let isCut = false;
    for await (const batch of listing(call.access, ino, path)) {
      for (const { name, attributes } of batch) {
        const { size, mtimeNs } = attributes;
        const isCopy = plainNameOf(name) !== undefined;
        const machine = isCopy ? await machineOf(attributes) : undefined;
        entries.push({ name, isFolder: isFolder(attributes), size, mtimeNs, machine });
      }
      isCut = entries.length > MAX_SHOWN;
      if (isCut) break;
    }
    const nonce = Buffer.from(call.random.bytes(16)).toString("base64url");
    const shown = entries.toSorted(inOrder).slice(0, MAX_SHOWN);
    const body = folderPage({ path, entries: shown, isCut, readOnly: call.isReadOnly, nonce });
    answer(call, 200, pageHeaders(nonce), body);
  };
}

/** Programs accept anything; browsers ask for HTML. */
export function wantsPage({ headers, url }: IncomingMessage): boolean {
  return /\btext\/html\b/i.test(headers.accept ?? "") || ASSET_FILES.has(url ?? "");
}

function inOrder(a: ShownEntry, b: ShownEntry): number {
  if (a.isFolder !== b.isFolder) return a.isFolder ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function pageHeaders(nonce: string) {
  const own = `'nonce-${nonce}'`;
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": [
      "default-src 'none'",
      `script-src ${own}`,
      `style-src ${own}`,
      "img-src 'self' data:",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
  };
}

interface Asset {
  readonly file: string;
  readonly type: string;
}

const ASSET_FILES = new Map<string, Asset>([
  [ASSETS.script, { file: "page.js", type: "text/javascript; charset=utf-8" }],
  [ASSETS.style, { file: "page.css", type: "text/css; charset=utf-8" }],
]);

function sendAsset(call: Call, { file, type }: Asset): void {
  const text = readFileSync(createRequire(import.meta.url).resolve(`#assets/webdav/${file}`), "utf8");
  answer(call, 200, { "content-type": type, "cache-control": "no-cache" }, text);
}
