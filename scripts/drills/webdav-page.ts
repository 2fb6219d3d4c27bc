/**
 * Chromium drives the page of a folder: uploads, replaces, renames, makes a folder, deletes, sees a conflict copy's mark; and no name or file
 * of the bucket gets a script to run.
 *   node scripts/drills/webdav-page.ts [SCREENSHOT.png]      needs chromium (Debian's package)
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { WebSocket } from "undici";
import { check, join, report, syncline, until, workspace } from "./lib.ts";

/** A page in the browser. What `evaluate` and `send` answer, the caller says. */
interface Page {
  /** What dialogs are answered, and what they asked. */
  answers: { accept: boolean; promptText?: string }[];
  readonly asked: string[];
  send<Result>(method: string, params?: object): Promise<Result>;
  /** Undefined also where the page went away meanwhile, since it is being loaded anew: whoever waits for something looks again. */
  evaluate<Value>(expression: string): Promise<Value | undefined>;
  all(selector: string): Promise<string[] | undefined>;
  go(to: string): Promise<void>;
  /** Does something after which the page is loaded anew, and waits for that. */
  reloaded(act: () => Promise<unknown>): Promise<void>;
  shows(name: string): Promise<unknown>;
  upload(path: string): Promise<void>;
  press(name: string, action: string): Promise<unknown>;
  close(): void;
}

/** What the browser sends: the answer to a call, or an event. */
interface Message {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly method?: string;
  readonly params?: { readonly message?: string };
}

interface Call {
  readonly done: (result: unknown) => void;
  readonly fail: (error: Error) => void;
}

const [screenshot] = process.argv.slice(2);
const DEADLINE_MS = 60_000;
const space = workspace("webdav-page");
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const serve = ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--background", "--json"];
const { webdav, pid } = syncline(space, serve).json<{ webdav: string; pid: number }>();
space.pids.add(pid);

const put = (name: string, body: string) => fetch(webdav + encodeURIComponent(name), { method: "PUT", body });
const text = async (name: string) => (await fetch(webdav + encodeURIComponent(name))).text();
await put("notes.txt", "kept");
await put("notes (conflict 1a2b3c4d).txt", "lost a conflict");
await put("<img src=x onerror=alert(1)>.html", "<script>alert(2)</script>");
await put("evil\u202egpj.exe", "x");

const page = await openBrowser();
await page.go(webdav);
check(
  (await page.all(".mark"))?.some((mark) => mark.includes("Lost to notes.txt")) === true,
  "the conflict copy is marked",
);
check((await page.all("tr a"))?.includes("evil\\u{202e}gpj.exe") === true, "a bidi control is shown as what it is");

const local = join(space.path, "upload.txt");
writeFileSync(local, "first");
await page.reloaded(() => page.upload(local));
await page.shows("upload.txt");
check((await text("upload.txt")) === "first", "an upload arrives");
writeFileSync(local, "second");
page.answers = [{ accept: true }];
await page.reloaded(() => page.upload(local));
check((await text("upload.txt")) === "second", "another version takes its place");
check(page.asked.at(-1)?.includes("exists already") === true, "it asks before it replaces");

await page.evaluate(`(() => {
  const files = new DataTransfer();
  files.items.add(new File(["x"], "x".repeat(300)));
  files.items.add(new File(["good"], "good.txt"));
  const input = document.querySelector("#files");
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
})()`);
await page.shows("good.txt");
await until(
  async () => (await page.all("#said"))?.[0]?.includes("Not uploaded:\nxxx"),
  DEADLINE_MS,
  "what was not uploaded",
  50,
);
check((await text("good.txt")) === "good", "one upload that fails keeps none of the others");
writeFileSync(local, "third");
page.answers = [{ accept: true }];
await page.reloaded(() => page.upload(local));
check((await text("upload.txt")) === "third", "and behind it another one goes");

page.answers = [{ accept: true, promptText: "renamed & moved.txt" }];
await page.reloaded(() => page.press("upload.txt", "rename"));
await page.shows("renamed & moved.txt");
check((await text("renamed & moved.txt")) === "third", "a file is renamed");
page.answers = [{ accept: true, promptText: "a folder" }];
await page.reloaded(() => page.evaluate(`document.querySelector("#make").click()`));
await page.shows("a folder/");
page.answers = [{ accept: false }];
await page.press("notes.txt", "remove");
page.answers = [{ accept: true }];
await page.reloaded(() => page.press("renamed & moved.txt", "remove"));
check((await page.all("tr a"))?.includes("renamed & moved.txt") === false, "what was confirmed is deleted");
check((await text("notes.txt")) === "kept", "what was not confirmed is not deleted");

const asked = page.asked.length;
await page.go(`${webdav}%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.html`).catch(() => {});
await page.go(webdav);
check(page.asked.length === asked, "no name and no file runs a script");
if (screenshot !== undefined) {
  const { data } = await page.send<{ data: string }>("Page.captureScreenshot", { format: "png" });
  writeFileSync(screenshot, Buffer.from(data, "base64"));
  report(`see ${screenshot}`);
}
page.close();
check(
  syncline(space, ["unmount", "webdav://127.0.0.1:0", "--json"]).json<{ drained: boolean }>().drained,
  "the agent ends well",
);

/** A page of a headless Chromium, by its DevTools protocol. */
async function openBrowser(): Promise<Page> {
  const profile = `--user-data-dir=${join(space.path, "chromium")}`;
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-port=0",
    "--window-size=900,800",
  ];
  const child = spawn("chromium", [...flags, profile, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  if (child.pid !== undefined) space.pids.add(child.pid);
  const address = await new Promise<string>((done, fail) => {
    child.once("error", fail);
    createInterface({ input: child.stderr }).on("line", (line) => {
      const [, found] = /DevTools listening on (ws:\S+)/.exec(line) ?? [];
      if (found !== undefined) done(found);
    });
  });
  const answer = await fetch(`http://${new URL(address).host}/json`);
  const targets = (await answer.json()) as { type: string; webSocketDebuggerUrl: string }[];
  const target = targets.find(({ type }) => type === "page");
  if (target === undefined) throw new Error("the browser has no page");
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((done) => socket.addEventListener("open", done, { once: true }));
  const waiting = new Map<number | undefined, Call>();
  let last = 0;
  const page: Page = {
    answers: [],
    asked: [],
    send<Result>(method: string, params = {}) {
      const id = ++last;
      socket.send(JSON.stringify({ id, method, params }));
      return new Promise<unknown>((done, fail) => waiting.set(id, { done, fail })) as Promise<Result>;
    },
    async evaluate<Value>(expression: string) {
      try {
        const { result } = await page.send<{ result: { value: Value } }>("Runtime.evaluate", {
          expression,
          returnByValue: true,
        });
        return result.value;
      } catch (error) {
        if (!(error instanceof Error) || error.message !== "Inspected target navigated or closed") throw error;
        return undefined;
      }
    },
    all: (selector) =>
      page.evaluate(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((e) => e.textContent.trim())`),
    async go(to) {
      await page.send("Page.navigate", { url: to });
      await until(async () => (await page.evaluate("document.readyState")) === "complete", DEADLINE_MS, "the page", 50);
    },
    async reloaded(act) {
      await page.evaluate("window.isOld = true");
      await act();
      const isNew = "window.isOld === undefined && document.readyState === 'complete'";
      await until(() => page.evaluate(isNew), DEADLINE_MS, "the page anew", 50);
    },
    shows: (name) => until(async () => (await page.all("tr a"))?.includes(name), DEADLINE_MS, name, 50),
    async upload(path) {
      const { root } = await page.send<{ root: { nodeId: number } }>("DOM.getDocument");
      const { nodeId } = await page.send<{ nodeId: number }>("DOM.querySelector", {
        nodeId: root.nodeId,
        selector: "#files",
      });
      await page.send("DOM.setFileInputFiles", { nodeId, files: [path] });
    },
    press: (name, action) =>
      page.evaluate(
        `[...document.querySelectorAll("tr")].find((row) => row.dataset.name === ${JSON.stringify(name)}).querySelector("[data-do=${action}]").click()`,
      ),
    close() {
      socket.close();
      child.kill();
    },
  };
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error, method, params } = JSON.parse(data) as Message;
    if (method === "Page.javascriptDialogOpening") {
      page.asked.push(params?.message ?? "");
      void page.send("Page.handleJavaScriptDialog", page.answers.shift() ?? { accept: false });
    }
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.done(result);
    else call?.fail(new Error(error.message));
  });
  await page.send("Page.enable");
  await page.send("Runtime.enable");
  return page;
}
