/** The page of a folder: what stands in it, that no name in it is more than a name, and what its buttons ask of the server. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { encodePath } from "../../../src/webdav/href.ts";
import { folderPage, type FolderView, type ShownEntry } from "../../../src/webdav/page/folder-view.ts";
import { Html, html } from "../../../src/webdav/page/html.ts";

function entry(name: FileName | string, more: Partial<ShownEntry> = {}): ShownEntry {
  const known = { isFolder: false, size: 5, mtimeNs: 1_770_000_000_000_000_000n, machine: undefined };
  return { name: nameFromText(name), ...known, ...more };
}

function page(entries: readonly ShownEntry[], more: Partial<FolderView> = {}): string {
  return folderPage({ path: [], entries, isCut: false, readOnly: false, nonce: "abc", ...more });
}

/** Every tag of the page, by name, in the order in which they stand. */
function tagsOf(text: string): string[] {
  return [...text.matchAll(/<([a-z0-9]+)/g)].map((match) => match[1] ?? "");
}

test("text is escaped, in elements and in attributes", () => {
  const evil = `"><script>'&`;
  expect(html`<b title="${evil}">${evil}${new Html("<i>")}${undefined}${[html`${1}`, html`${2}`]}</b>`.text).toBe(
    `<b title="&#34;&#62;&#60;script&#62;&#39;&#38;">&#34;&#62;&#60;script&#62;&#39;&#38;<i>12</b>`,
  );
});

test.each([
  "<script>alert(1)<script>",
  `" onmouseover="alert(1)`,
  "' autofocus onfocus='alert(1)",
  "</title><svg onload=alert(1)>".replace("/", ""),
  "javascript:alert(1)",
  "${alert(1)}`",
])("the name %s adds no tag, no attribute and no address", (name) => {
  const plain = page([entry("plain")], { path: [nameFromText("plain")] });
  const evil = page([entry(name)], { path: [nameFromText(name)] });
  expect(tagsOf(evil)).toEqual(tagsOf(plain));
  expect(evil.replace(/"[^"]*"/g, '""')).not.toMatch(/<[^>]*\s(?:on\w+|autofocus)\b/);
  expect([...evil.matchAll(/(?:href|src)="([^"]*)"/g)].every(([, to = ""]) => /^(?:\/|data:,$)/.test(to))).toBe(true);
});

test("escape codes and bidi controls are made visible, and a name that is not UTF-8 links to its own bytes", () => {
  const text = page([entry("a\u202egpj\u001b[31m.exe"), { ...entry("x"), name: "\xff\xfe" as FileName }]);
  expect(text).toContain("a\\u{202e}gpj\\u{1b}[31m.exe");
  expect(text).toContain('href="/%FF%FE"');
  // As data for the question before a removal the name is as it is, and nothing reads it but the page's script.
  // eslint-disable-next-line no-control-regex
  expect(text.replace(/data-name="[^"]*"/g, "")).not.toMatch(/[\u202e\u001b]/);
});

test("conflict copies show the name that they lost to, the machine and the time", () => {
  const copy = entry("notes (conflict 1a2b3c4d).txt", { machine: "desk\u202e" });
  const text = page([entry("notes.txt"), copy]).replace(/\s+/g, " ");
  const said = (shown: string) => /<p class="note conflict">([^<]*)/.exec(shown)?.[1];
  expect(said(text)).toBe("One version lost a conflict: it is marked below, and stays until you decide.");
  const two = page([copy, entry("plan (conflict 1a2b3c4d).txt")]);
  expect(said(two)).toBe("2 versions lost a conflict: each is marked below, and stays until you decide.");
  expect(text).toContain("Conflict: Lost to notes.txt, from desk\\u{202e}, changed 2026-02-02 02:40:00 UTC");
  expect(page([copy])).toContain("Was notes.txt");
  expect(page([entry("notes.txt")])).not.toContain("conflict");
});

test("images have small, lazily loaded previews; SVG and very large files have none", () => {
  const text = page([entry("a.PNG"), entry("b.svg"), entry("huge.jpg", { size: 2 ** 30 }), entry("c.html")]);
  expect([...text.matchAll(/<img[^>]*>/g)].map(([tag]) => tag.replace(/\s+/g, " "))).toEqual([
    expect.stringMatching(/src="\/a\.PNG".*loading="lazy"/) as string,
  ]);
});

test("a page says that it is read-only, truncated or empty, and offers no changes when read-only", () => {
  const text = page([entry("f")], { readOnly: true, isCut: true });
  expect(text).toContain("Read only");
  expect(text).toContain("more here than a page shows");
  expect(tagsOf(text)).not.toContain("button");
  expect(page([])).toContain("This folder is empty.");
});

test("the page loads its script with the nonce, and has no inline styles", () => {
  const text = page([entry("f")]);
  expect(text).toMatch(/<script src="\/\?page\.js" nonce="abc" defer><\/script>/);
  expect(text).not.toMatch(/ style=|<style/);
});

/** Clicks on Rename of such a row, where somebody types `typed`. Answers the requests that are sent. */
async function renamed(row: { readonly href: string; readonly name: string }, typed: string | null): Promise<string[]> {
  const sent: string[] = [];
  const listeners = new Map<string, (event: object) => Promise<void>>();
  const body = { dataset: { folder: "/" } };
  runInNewContext(readFileSync(join(import.meta.dirname, "../../../assets/webdav/page.js"), "utf8"), {
    document: { body, querySelector: () => null, addEventListener: listeners.set.bind(listeners) },
    location: { origin: "http://here", reload: () => {} },
    prompt: (_question: string, offered: string) => (expect(offered).toBe(row.name), typed),
    fetch: async (href: string, { method, headers }: { method: string; headers: { Destination: string } }) => {
      sent.push(`${method} ${href} ${headers.Destination}`);
      return { ok: true };
    },
  });
  const button = { dataset: { do: "rename" }, closest: () => ({ dataset: row }) };
  await listeners.get("click")?.({ target: { closest: () => button } });
  return sent;
}

test("an unchanged name is not renamed, however its address is encoded", async () => {
  for (const name of ["plain", "it's (1)!*.txt", "\u00e4 b"]) {
    const row = { href: encodePath([nameFromText(name)], false), name };
    for (const typed of [name, "", null]) expect([typed, await renamed(row, typed)]).toEqual([typed, []]);
    expect(await renamed(row, "new (2)")).toEqual([`MOVE http://here${row.href} http://here/new%20(2)`]);
    expect(await renamed({ ...row, href: `${row.href}/` }, name)).toEqual([]);
  }
});
