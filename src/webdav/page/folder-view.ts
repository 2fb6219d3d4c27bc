/** A folder as a page for browsers. Its actions are links and buttons; assets/webdav/page.js implements them. */
import { timeText } from "../../base/clock.ts";
import type { FileName } from "../../base/ids.ts";
import { escapeForPrint, nameToText } from "../../base/names.ts";
import { plainNameOf } from "../../bucket/conflicts/marked-name.ts";
import { encodePath } from "../href.ts";
import { Html, html } from "./html.ts";

export interface ShownEntry {
  readonly name: FileName;
  readonly isFolder: boolean;
  readonly size: number;
  readonly mtimeNs: bigint;
  /** For a conflict copy: the machine that it is from. */
  readonly machine: string | undefined;
}

export interface FolderView {
  readonly path: readonly FileName[];
  /** In display order. */
  readonly entries: readonly ShownEntry[];
  /** There are more entries than are shown. */
  readonly isCut: boolean;
  readonly readOnly: boolean;
  /** Identifies the page's own script and style, and nothing else. */
  readonly nonce: string;
}

/** Where the page's script and style are: queries, so that every name of the bucket stays reachable. */
export const ASSETS = { script: "/?page.js", style: "/?page.css" } as const;

/** Images that run no scripts; larger files are not fetched for a thumbnail. */
const RASTER = /\.(?:png|jpe?g|gif|webp|avif|bmp)$/i;
const MAX_PREVIEW_BYTES = 16 * 1024 * 1024;

export function folderPage(view: FolderView): string {
  const { path, entries, isCut, readOnly, nonce } = view;
  const title = path.length === 0 ? "Files" : shownName(path.at(-1) ?? ("" as FileName));
  const conflicts = entries.filter(({ name }) => plainNameOf(name) !== undefined).length;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href="${ASSETS.style}" nonce="${nonce}" />
        <script src="${ASSETS.script}" nonce="${nonce}" defer></script>
      </head>
      <body data-folder="${encodePath(path, true)}">
        <header>
          <nav aria-label="Path">
            <ol>
              ${crumbs(path)}
            </ol>
          </nav>
          ${readOnly ? html`<p class="note">Read only</p>` : TOOLS}
        </header>
        <main>
          <h1>${title}</h1>
          <p id="said" role="status" aria-live="polite"></p>
          ${conflicts === 0 ? undefined : html`<p class="note conflict">${conflicts === 1 ? "One version lost a conflict: it" : `${conflicts} versions lost a conflict: each`} is marked below, and stays until you decide.</p>`}
          ${entries.length === 0 ? html`<p class="note">This folder is empty.</p>` : table(view)}
          ${isCut ? html`<p class="note">There is more here than a page shows: a WebDAV client lists all of it.</p>` : undefined}
        </main>
      </body>
    </html> `.text;
}

const TOOLS = new Html(`<div class="tools">
<label class="button">Upload<input id="files" type="file" multiple></label>
<button type="button" id="make">New folder</button>
<span class="hint">or drop files anywhere</span>
</div>`);

function crumbs(path: readonly FileName[]): Html[] {
  const steps = [html`<li><a href="/">Files</a></li>`];
  for (const [index, name] of path.entries()) {
    const isHere = index === path.length - 1;
    const here = isHere ? new Html(` aria-current="page"`) : undefined;
    steps.push(html`<li><a href="${encodePath(path.slice(0, index + 1), true)}" ${here}>${shownName(name)}</a></li>`);
  }
  return steps;
}

function table({ path, entries, readOnly }: FolderView): Html {
  const names = new Set(entries.map(({ name }) => name));
  const rows = entries.map((entry) => row(path, entry, names, readOnly));
  const actions = readOnly ? undefined : new Html(`<th scope="col"><span class="hidden">Actions</span></th>`);
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Name</th>
        <th scope="col">Size</th>
        <th scope="col">Changed</th>
        ${actions}
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;
}

function row(path: readonly FileName[], entry: ShownEntry, names: ReadonlySet<FileName>, readOnly: boolean): Html {
  const { name, isFolder, size, mtimeNs } = entry;
  const href = encodePath([...path, name], isFolder);
  const shown = shownName(name);
  const time = timeText(mtimeNs);
  const plain = plainNameOf(name);
  const buttons = html`<td class="actions">
    <button type="button" data-do="rename" aria-label="Rename ${shown}">Rename</button>
    <button type="button" data-do="remove" aria-label="Delete ${shown}">Delete</button>
  </td>`;
  return html`<tr
    data-href="${href}"
    data-name="${nameToText(name)}"
    ${plain === undefined ? undefined : new Html(` class="conflict"`)}
  >
    <th scope="row">
      <div class="entry">
        ${preview(entry, href)}
        <div>
          <a href="${href}">${isFolder ? `${shown}/` : shown}</a>
          ${plain === undefined ? undefined : mark(entry, plain, names)}
        </div>
      </div>
    </th>
    <td class="size">${isFolder ? "–" : sizeText(size)}</td>
    <td><time datetime="${time}">${time.slice(0, 16).replace("T", " ")}</time></td>
    ${readOnly ? undefined : buttons}
  </tr> `;
}

function mark({ machine, mtimeNs }: ShownEntry, plain: FileName, names: ReadonlySet<FileName>): Html {
  const from = machine === undefined ? "" : `, from ${escapeForPrint(machine)}`;
  const what = names.has(plain) ? `Lost to ${shownName(plain)}` : `Was ${shownName(plain)}`;
  return html`<span class="mark"
    >Conflict: ${what}${from}, changed ${timeText(mtimeNs).slice(0, 19).replace("T", " ")} UTC</span
  >`;
}

function preview({ name, isFolder, size }: ShownEntry, href: string): Html {
  if (isFolder) return new Html(`<span class="icon folder" aria-hidden="true"></span>`);
  if (!RASTER.test(name) || size > MAX_PREVIEW_BYTES)
    return new Html(`<span class="icon file" aria-hidden="true"></span>`);
  return html`<img class="icon" src="${href}" alt="" loading="lazy" decoding="async" width="40" height="40" />`;
}

/** Shows control and bidi characters visibly: no name can look like another one through them. */
function shownName(name: FileName): string {
  return escapeForPrint(nameToText(name));
}

function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toPrecision(value >= 1000 ? 4 : 3)} ${UNITS[power]}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
